"""Where a model may run: filters in order, each of which says why it leaves a seat out."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inferfleet import catalogue
from inferfleet.memory import ModelSize
from inferfleet.memory.kv_cache import BLOCKS
from inferfleet.memory.types import KvType
from inferfleet.plan.capacity import GIB
from inferfleet.plan.demand import Demand, Demands
from inferfleet.plan.rooms import CardRoom
from inferfleet.plan.seats import Lack, Seat
from inferfleet.spec import Model


@dataclass(frozen=True)
class Ask:
    """A model that looks for seats."""

    name: str
    model: Model
    demands: Demands

    def demand(self, seat: Seat) -> Demand:
        """What it takes on a seat."""
        return self.demands.of(self.name, seat.instance, seat.memory)


def serves(ask: Ask, seat: Seat) -> str:
    """The seat's engine is the model's."""
    return "" if seat.instance.engine == ask.model.engine else f"run {seat.instance.engine}"


def pinned(ask: Ask, seat: Seat) -> str:
    """The seat is where the model may run."""
    return "" if not ask.model.on or any(is_at(place, seat) for place in ask.model.on) else "are not named in `on`"


def able(ask: Ask, seat: Seat) -> str:
    """The seat takes the model as it is set, and its cards can run the engine, with these weights and this cache."""
    settings, size = seat.instance.settings, ask.demands.size(ask.name)
    if size and (no := _uneven_rows(size, settings.kv_cache_type) or _put_elsewhere(ask.model, size, len(seat.cards))):
        return no
    weights = size.weights.format if size else ""
    for card in seat.cards:
        if no := cannot(seat.instance.engine, settings.version, card, weights, settings.kv_cache_type):
            return no
    return ""


def _uneven_rows(size: ModelSize, cache: KvType) -> str:
    """llama-server does not load such a model (b10488, src/llama-context.cpp, llama_init_from_model)."""
    block, _ = BLOCKS[cache]
    widths = [width for layers in size.shape.attention for width in (layers.key_dim, layers.value_dim)]
    if wrong := [width for width in widths if width % block]:
        return (
            f"a cache in {cache} needs heads of a multiple of {block}, its are {wrong[0]} wide; use kv_cache_type f16"
        )
    return ""


def _put_elsewhere(model: Model, size: ModelSize, cards: int) -> str:
    """Parameters that move a model, or a part of it, off the cards that it is planned on."""
    if not cards:
        return ""
    layers, on_cards = sum(layers.layers for layers in size.shape.attention), model.parameters.get("num_gpu")
    if on_cards is not None and 0 <= on_cards <= layers:
        return f"num_gpu {on_cards} leaves layers to the CPU, which is not planned; leave it out, or declare vram_gib"
    if cards > 1 and "main_gpu" in model.parameters:
        return "main_gpu puts all of it on one card of the instance, which is not planned; leave it out"
    return ""


def cannot(engine: str, version: str, card: CardRoom, weights: str, cache: str) -> str:
    """Why an engine does not run on a card, and what to do: `reason; todo`; nothing where the card is not known."""
    no = catalogue.unable(engine, version, card.known, weights=weights, kv=cache) if card.known else None
    return str(no) if no else ""


def large_enough(ask: Ask, seat: Seat) -> str:
    """The seat's cards, empty, would hold the model."""
    demand = ask.demand(seat)
    takes = demand.on_cards(tuple(card.usable for card in seat.cards)) if seat.cards else ()
    for card, need in zip(seat.cards, takes, strict=True):
        if need > (room := card.usable - demand.need.margin):
            return f"are too small ({gib(need)} of {gib(room)} GiB on an empty {card.gpu.model})"
    return ""


def has_room(ask: Ask, seat: Seat) -> str:
    """The model fits beside what is placed there already."""
    lack = seat.why_not(ask.demand(seat))
    return "have no room left" if lack else ""


Filter = Callable[[Ask, Seat], str]
# Those that do not change while models are placed come first.
STANDING: tuple[Filter, ...] = (serves, pinned, able, large_enough)
FILTERS: tuple[Filter, ...] = (*STANDING, has_room)


def is_at(place: str, seat: Seat) -> bool:
    """Whether a place (`gpu1`, `gpu1/0`, `gpu1/ollama-cpu0`) names a seat."""
    node, _, part = place.partition("/")
    return node == seat.instance.node and part in ("", seat.instance.name, *(str(c.position) for c in seat.cards))


def passing(ask: Ask, seats: Iterable[Seat]) -> tuple[list[Seat], list[str]]:
    """The seats that pass all filters, and what each filter left, in words."""
    left, steps = list(seats), []
    for one in FILTERS:
        whys = [(seat, one(ask, seat)) for seat in left]
        out = Counter(why for _, why in whys if why)
        left = [seat for seat, why in whys if not why]
        because = "; ".join(f"{count} {why}" for why, count in out.most_common())
        if because:
            steps.append(f"{len(left)} left: {because}")
    return left, steps


def what_lacks(lack: Lack) -> str:
    """`20.9 of 2.3 GiB on gpu1/0`."""
    kind = "" if lack.what == "card" else f" {lack.what}"
    return f"{gib(lack.need)} of {gib(lack.free)} GiB{kind} on {lack.where}"


def gib(size: int) -> str:
    """A size in GiB, as people read it."""
    return f"{size / GIB:.1f}"
