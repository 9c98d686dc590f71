"""Models onto seats, in the order they are declared, hosts in the order of the inventory.

A model looks at hosts one after another and takes the first ones that it fits on; what is placed earlier depends on
nothing that is declared later. So a host or a model that is appended moves nothing.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence

from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.demand import Demand, Demands
from inferfleet.plan.filters import STANDING, Ask, is_at
from inferfleet.plan.seats import Seat
from inferfleet.plan.serve import serve
from inferfleet.spec import Fleet


def fill(fleet: Fleet, benches: Sequence[Bench], demands: Demands) -> list[Placed]:
    """Place every model; what finds no seat is short."""
    sorts = tuple({seat.sort: seat for bench in benches for seat in bench.seats}.values())
    return [_place(Ask(name, model, demands), benches, sorts) for name, model in fleet.models]


def _place(ask: Ask, benches: Sequence[Bench], sorts: Sequence[Seat]) -> Placed:
    if mistake := _nowhere(ask, benches):
        copies = ask.model.copies
        return Placed(ask, copies if isinstance(copies, int) else 1, reason=mistake)
    if ask.model.engine != "ollama":
        return serve(ask, benches)
    stands = _Standing(ask)
    if ask.model.copies in ("all", "fitting"):
        return _everywhere(ask, benches, stands)
    wanted = int(ask.model.copies)
    found = Placed(ask, wanted)
    least = stands.least(sorts)
    for bench in benches:
        if not found.short:
            break
        if least is not None and _is_full(bench, least, ask):
            continue
        most = 1 if ask.model.placement == "spread" else found.short
        found.seats += _on_host(ask, bench, stands, most)
    return found


def _nowhere(ask: Ask, benches: Sequence[Bench]) -> str:
    """What is wrong with a place in `on` that is no host, no card and no instance."""
    for place in ask.model.on:
        name, _, part = place.partition("/")
        bench = next((bench for bench in benches if bench.name == name), None)
        if bench is None:
            near = difflib.get_close_matches(name, [bench.name for bench in benches], n=1)
            return f"`on` names {name!r}, no host of the fleet; " + (
                f"did you mean {near[0]!r}?" if near else "write a host's name as in the inventory"
            )
        card = part in [str(room.position) for room in bench.room.cards]
        if part and not card and not any(is_at(place, seat) for seat in bench.seats):
            there = ", ".join(seat.instance.name for seat in bench.seats) or "no instance"
            cards = len(bench.room.cards)
            return f"`on` names {place!r}; {name} has {cards} card{'s' * (cards != 1)}, counted from 0, and {there}"
    return ""


def _everywhere(ask: Ask, benches: Iterable[Bench], stands: "_Standing") -> Placed:
    """On every seat that is meant for it, or one of each host where it is spread."""
    found = Placed(ask, 0)
    for bench in benches:
        meant = [seat for seat in bench.seats if stands.is_meant(seat)]
        if ask.model.placement == "spread":
            taken = _on_host(ask, bench, stands, 1)
            found.refused += [] if taken else meant[:1]
        else:
            taken = [seat for seat in meant if _takes(ask, seat, stands)]
            found.refused += [seat for seat in meant if seat not in taken]
        found.seats += taken
    short = len(found.refused) if ask.model.copies == "all" else 0
    found.wanted = max(len(found.seats) + short, 1)
    return found


def _takes(ask: Ask, seat: Seat, stands: "_Standing") -> bool:
    demand = stands.demand(seat)
    if demand is None or seat.why_not(demand):
        return False
    seat.take(ask.name, demand)
    return True


def _on_host(ask: Ask, bench: Bench, stands: "_Standing", most: int) -> list[Seat]:
    """Up to `most` replicas on the host's seats, each on another."""
    able = [(seat, demand) for seat in bench.seats if (demand := stands.demand(seat))]
    order = _ORDER["pack" if ask.model.placement == "pack" else "balance"]
    taken: list[Seat] = []
    while len(taken) < most:
        fitting = [(seat, demand) for seat, demand in able if seat not in taken and seat.why_not(demand) is None]
        if not fitting:
            break
        seat, demand = min(fitting, key=lambda pair: order(pair[0]))  # the first of equals
        seat.take(ask.name, demand)
        taken.append(seat)
    return taken


# A card is better than the CPU.
_ORDER: dict[str, Callable[[Seat], tuple[bool, int]]] = {
    "balance": lambda seat: (not seat.cards, -seat.free),
    "pack": lambda seat: (not seat.cards, seat.free),
}


def _is_full(bench: Bench, least: int, ask: Ask) -> bool:
    """No card of the host has room, so its seats need not be asked; the weights may be there already, for nothing."""
    if ask.demands.runner(ask.name) in bench.room.stored:
        return False
    return all(seat.cards and seat.free < least and not seat.takes_turns for seat in bench.seats)


class _Standing:
    """What the filters say that do not change while models are placed: asked once for each sort of seat."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._pinned = bool(ask.model.on)
        self._found: dict[object, Demand | None] = {}

    def demand(self, seat: Seat) -> Demand | None:
        """What the model takes there; None where it cannot run there whatever else is placed."""
        key = seat if self._pinned else seat.sort
        if key not in self._found:
            ask = self._ask
            self._found[key] = None if any(one(ask, seat) for one in STANDING) else ask.demand(seat)
        return self._found[key]

    def is_meant(self, seat: Seat) -> bool:
        """Whether the seat has the model's engine and is where it may run."""
        return not any(one(self._ask, seat) for one in STANDING[:2])

    def least(self, sorts: Iterable[Seat]) -> int | None:
        """The least that it takes of any seat's cards, of each sort one; None where that cannot be told quickly."""
        if self._pinned:
            return None
        needs = [demand.need.per_card for seat in sorts if (demand := self.demand(seat))]
        return min(needs, default=0)
