"""Why a model is not placed, in one line, with what would let it fit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import Refusal
from inferfleet.plan.demand import Demand
from inferfleet.plan.filters import Ask, able, passing, pinned, serves, what_lacks
from inferfleet.plan.seats import Lack, Seat
from inferfleet.plan.serve import settings_on
from inferfleet.plan.suggest import ENGINE

Changes = Sequence[Mapping[str, Any]]


def why(placed: Placed, benches: Sequence[Bench]) -> str:
    """`models.x: what is wrong`, without what to do."""
    ask, wanted = placed.ask, placed.wanted
    where = f"models.{ask.name}"
    seats = _meant(ask, benches)
    if not seats:
        return f"{where}: no {ask.model.engine} instance is there to serve it"
    if wanted > _most(ask, seats):
        what = "hosts" if ask.model.placement == "spread" else f"{ask.model.engine} instances"
        in_on = " named in `on`" if ask.model.on else ""
        return f"{where}: wants {wanted} of {_most(ask, seats)} {what}{in_on}"
    out = placed.refused or _others(seats, placed)
    count = f"{placed.short} of {wanted} replicas: " if placed.seats else ""
    return f"{where}: {count}{_lack_in_words(ask, out)}"


def refusal(placed: Placed, benches: Sequence[Bench], changes: Changes) -> Refusal:
    """The refusal of a model that is short of seats.

    Args:
        placed: the model.
        benches: all hosts, as filled as they are.
        changes: settings with which it would fit.
    """
    if placed.reason:
        wrong, _, todo = placed.reason.partition("; ")
        line = f"models.{placed.ask.name}: {wrong}; {_fits_with(changes, benches, '') or todo}"
        return Refusal(placed.ask.name, line, placed.steps, tuple(changes))
    seats = [seat for bench in benches for seat in bench.seats]
    _, steps = passing(placed.ask, _others(seats, placed))
    if no := _unable(placed.ask, _others(_meant(placed.ask, benches), placed)):
        return Refusal(placed.ask.name, f"models.{placed.ask.name}: {no}", tuple(steps), tuple(changes))
    line = f"{why(placed, benches)}; {_todo(placed, benches, changes)}"
    return Refusal(placed.ask.name, line, tuple(steps), tuple(changes))


def would_be(placed: Placed, benches: Sequence[Bench]) -> Demand | None:
    """What a model that is placed nowhere would take at the first place that is meant for it."""
    if placed.ask.model.engine == "ollama":
        return next((placed.ask.demand(seat) for seat in _meant(placed.ask, benches)), None)
    settings = (settings_on(placed.ask, bench) for bench in benches)
    return next((placed.ask.demands.served(placed.ask.name, one) for one in settings if one), None)


def lacking(placed: Placed, benches: Sequence[Bench]) -> list[Seat]:
    """The seats that would do if there were more room on them, the roomiest first."""
    seats = placed.refused or _others(_meant(placed.ask, benches), placed)
    fit = [seat for seat in seats if not able(placed.ask, seat) and lack(placed.ask, seat)]
    return sorted(fit, key=lambda seat: -seat.free)


def lack(ask: Ask, seat: Seat) -> Lack | None:
    """What a seat lacks for a model: on the empty card, where even that is too small."""
    return seat.why_not(ask.demand(seat))


def in_words(demand: Demand) -> str:
    """The settings that a demand is for: `with context 8192 x parallel 4, q8_0`."""
    serving = demand.serving
    if serving is None:
        return "with its vram_gib"
    cache = "" if serving.kv_type == "f16" else f", KV cache {serving.kv_type}"
    return f"with context {serving.context} x parallel {serving.parallel}{cache}"


def _meant(ask: Ask, benches: Iterable[Bench]) -> list[Seat]:
    seats = [seat for bench in benches for seat in bench.seats]
    return [seat for seat in seats if not serves(ask, seat) and not pinned(ask, seat)]


def _others(seats: Sequence[Seat], placed: Placed) -> list[Seat]:
    """Those that do not serve it."""
    there = set(placed.seats)
    return [seat for seat in seats if seat not in there]


def _most(ask: Ask, seats: Sequence[Seat]) -> int:
    return len({seat.instance.node for seat in seats}) if ask.model.placement == "spread" else len(seats)


def _unable(ask: Ask, seats: Sequence[Seat]) -> str:
    """Why no seat that is left can run the model, whatever room there is; nothing where one could."""
    reasons = [able(ask, seat) for seat in seats]
    if not reasons or not all(reasons):
        return ""
    first = seats[0]
    return f"{first.cards[0].name if first.cards else first.name}: {reasons[0]}"


def _lack_in_words(ask: Ask, seats: Sequence[Seat]) -> str:
    """Of the seats that are left out, the nearest to fitting speaks for all."""
    short = [(seat, found) for seat in seats if not able(ask, seat) and (found := lack(ask, seat))]
    if not short:
        return "each host has one already, and placement is 'spread'"
    seat, found = min(short, key=lambda pair: pair[1].need - pair[1].free)
    beside = f" beside {', '.join(seat.models)}" if seat.models else ""
    more = f" (and on {len(short) - 1} more)" if len(short) > 1 else ""
    return f"{in_words(ask.demand(seat))} needs {what_lacks(found)}{beside}{more}"


def _todo(placed: Placed, benches: Sequence[Bench], changes: Changes) -> str:
    ask = placed.ask
    seats = _meant(ask, benches)
    if not seats:
        return "add cards or `instances` to the inventory, or remove the model"
    if changes:
        short = lacking(placed, benches)
        return _fits_with(changes, benches, short[0].instance.node if short else "")
    if placed.wanted > _most(ask, seats):
        more = "hosts" if ask.model.placement == "spread" else "cards or `instances`"
        return f"lower `replicas`, or add {more} to the inventory"
    return "take a smaller format or model, or a card with more memory"


def _fits_with(changes: Changes, benches: Sequence[Bench], like: str) -> str:
    """What helps; a setting of the engine is that of one group of hosts, which is named where there are others."""
    if not changes:
        return ""
    groups = [bench.node.engines.ollama for bench in benches]
    one_of_many = like and any(group != groups[0] for group in groups)
    where = f" on hosts set like {like}" if one_of_many and any(key.startswith(ENGINE) for key in changes[0]) else ""
    return f"fits with {', or '.join(_change(change) for change in changes)}{where}"


def _change(change: Mapping[str, Any]) -> str:
    words = [f"{setting.rsplit('.', 1)[-1]} {value!r}".replace("'", "") for setting, value in change.items()]
    return " with ".join(words)
