"""What would let a model fit: the smallest changes first, each tried before it is said."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.demand import Demands
from inferfleet.plan.filters import large_enough
from inferfleet.plan.seats import Seat
from inferfleet.plan.serve import each_card, settings_on
from inferfleet.spec import Fleet, OllamaEngine

Change = Mapping[str, Any]
ENGINE = "engines.ollama."
# Contexts below it are of little use.
_LEAST_CONTEXT = 2048
_STEP = 1024


def candidates(placed: Placed, lacking: list[Seat], benches: Sequence[Bench], demands: Demands) -> Iterator[Change]:
    """Changes that look as if they let a model fit, the smallest first."""
    if placed.ask.model.engine != "ollama":
        yield from _of_server(placed, benches)
    elif lacking and placed.ask.model.vram_gib is None:
        yield from _settings(placed, _needed(placed, lacking), demands)
    if any(seat.models and seat.instance.settings.keep_alive == "forever" for seat in lacking):
        yield {f"{ENGINE}keep_alive": "5m"}
    if placed.seats and placed.ask.model.replicas == "all":
        yield {f"models.{placed.ask.name}.replicas": "fitting"}
    elif placed.places:
        yield {f"models.{placed.ask.name}.replicas": len(placed.places)}
    elif lacking and all(_is_split(seat, placed) for seat in lacking):
        yield {f"{ENGINE}per": "node"}


def _is_split(seat: Seat, placed: Placed) -> bool:
    """Whether the seat has one of its host's cards, and no card is large enough for the model."""
    one_of_many = seat.instance.settings.per == "card" and len(seat.host.cards) > 1
    return one_of_many and bool(large_enough(placed.ask, seat))


def changed(fleet: Fleet, change: Change, like: OllamaEngine | None) -> Fleet:
    """The fleet with a change; one of the engine holds for every host whose engine is set like `like`."""
    engine = {key.removeprefix(ENGINE): value for key, value in change.items() if key.startswith(ENGINE)}
    nodes = tuple(
        replace(node, engines=node.engines.model_copy(update={"ollama": like.model_copy(update=engine)}))
        if engine and like and node.engines.ollama == like
        else node
        for node in fleet.nodes
    )
    models = tuple((name, model.model_copy(update=_own(name, change))) for name, model in fleet.models)
    return replace(fleet, nodes=nodes, models=models)


def _own(name: str, change: Change) -> dict[str, Any]:
    """What of a change is one model's."""
    prefix = f"models.{name}."
    return {key.removeprefix(prefix): value for key, value in change.items() if key.startswith(prefix)}


def _of_server(placed: Placed, benches: Sequence[Bench]) -> Iterator[Change]:
    """The model's own context or parallel, or more cards for each replica."""
    ask = placed.ask
    found = [
        (settings, room) for bench in benches if (settings := settings_on(ask, bench)) for room in bench.room.cards
    ]
    if not found or ask.model.vram_gib is not None:
        return
    settings, _ = found[0]
    roomiest = sorted((room.free for _, room in found), reverse=True)[: ask.model.tensor_parallel][-1]

    def fits(**change: Any) -> bool:
        return each_card(ask, settings.model_copy(update=change)) <= roomiest

    own = f"models.{ask.name}."
    if fewer := _largest(range(1, settings.parallel), lambda count: fits(parallel=count)):
        yield {f"{own}parallel": fewer}
    if shorter := _largest(range(_LEAST_CONTEXT, settings.context, _STEP), lambda length: fits(context=length)):
        yield {f"{own}context": shorter}
    for cards in (2, 4, 8):
        if cards > ask.model.tensor_parallel:
            yield {f"{own}tensor_parallel": cards}


def _needed(placed: Placed, lacking: list[Seat]) -> list[Seat]:
    """As many seats as are wanted, the roomiest; of `all` every one."""
    return lacking if placed.ask.model.replicas == "all" else lacking[: max(placed.short, 1)]


def _settings(placed: Placed, seats: list[Seat], demands: Demands) -> Iterator[Change]:
    """Fewer requests at once; a shorter context; a smaller KV cache, alone or with a shorter context."""
    settings = seats[0].instance.settings
    model = placed.ask.model

    def fits(**change: Any) -> bool:
        return all(_fits(seat, placed.ask.name, change, demands) for seat in seats)

    fewer = _largest(range(1, settings.parallel), lambda count: fits(parallel=count))
    if fewer:
        yield {f"{ENGINE}parallel": fewer}
    contexts = () if "num_ctx" in model.parameters else range(_LEAST_CONTEXT, settings.context, _STEP)
    shorter = _largest(contexts, lambda length: fits(context=length))
    if shorter:
        yield {f"{ENGINE}context": shorter}
    if settings.kv_cache_type != "f16" or not settings.flash_attention:
        return
    if fits(kv_cache_type="q8_0"):
        yield {f"{ENGINE}kv_cache_type": "q8_0"}
        return
    shorter = _largest(contexts, lambda length: fits(kv_cache_type="q8_0", context=length))
    if shorter:
        yield {f"{ENGINE}kv_cache_type": "q8_0", f"{ENGINE}context": shorter}


def most_parallel(seat: Seat, name: str, demands: Demands) -> int:
    """Requests at once for which a seat has room, all else as it is; up to 512, the engine's limit."""
    return _largest(range(1, 513), lambda count: _fits(seat, name, {"parallel": count}, demands)) or 0


def _largest(values: range | tuple[()], fits: Callable[[int], bool]) -> int | None:
    """The largest value that fits; more never fits where less does not."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if fits(values[middle]):
            low = middle + 1
        else:
            high = middle
    return values[low - 1] if low else None


def _fits(seat: Seat, name: str, change: Mapping[str, Any], demands: Demands) -> bool:
    """Whether a model, and all that is on the seat already, fits there with other settings of the engine."""
    instance = replace(seat.instance, settings=seat.instance.settings.model_copy(update=change))
    found = [demands.of(one, instance, seat.memory) for one in dict.fromkeys([*seat.models, name])]
    return seat.would_hold(found)
