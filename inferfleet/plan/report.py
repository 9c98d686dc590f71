"""What is placed, as `Capacity`: each card with what lies on it, each model with what it takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from inferfleet.calibration import Measurement, digest_of, peak, setting_of
from inferfleet.engines.budgets import flags
from inferfleet.memory import Need
from inferfleet.placed import Server
from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import Capacity, CardUse, HostUse, ModelUse, Refusal, Share
from inferfleet.plan.demand import Demands
from inferfleet.plan.groups import Group
from inferfleet.plan.refuse import in_words, would_be
from inferfleet.plan.rooms import CardRoom
from inferfleet.plan.seats import Seat
from inferfleet.plan.suggest import most_parallel
from inferfleet.plan.survive import losses
from inferfleet.spec import Model


def capacity(
    benches: Sequence[Bench],
    placed: Sequence[Placed],
    demands: Demands,
    refusals: tuple[Refusal, ...],
    measured: Sequence[Measurement] = (),
) -> Capacity:
    """The fleet's memory as it is planned."""
    models = {one.ask.name: one.ask.model for one in placed}
    return Capacity(
        cards=tuple(_card(card, bench) for bench in benches for card in bench.room.cards),
        hosts=tuple(_host(bench) for bench in benches),
        models=tuple(_with_measured(_model(one, demands, benches), one, models, measured) for one in placed),
        refusals=refusals,
        losses=losses(placed, benches),
    )


def server(group: Group) -> Server:
    """A group of cards as the plan says it, with its memory in the engine's own words."""
    card, host = group.cards[0], group.settings.host
    return Server(
        name=group.unit,
        engine=group.engine,
        version=group.settings.version,
        model=group.model,
        parts=tuple((room.name, tuple(card.gpu for card in cards)) for room, cards in group.parts),
        address=f"[{host}]:{group.port}" if ":" in host else f"{host}:{group.port}",
        flags=flags(
            group.engine,
            weights_per_card=group.weights,
            kv_per_card=group.kv_cache,
            overhead_per_card=group.demand.need.overhead,
            usable=card.usable,
            total=card.total,
        ),
    )


def _host(bench: Bench) -> HostUse:
    room = bench.room
    return HostUse(room.name, room.ram, room.ram_taken, room.disk, room.disk_taken)


def _card(card: CardRoom, bench: Bench) -> CardUse:
    shares = [share for seat in bench.seats if card in seat.cards for share in _shares(seat, card)]
    shares += [_whole(group) for group in bench.groups if card in group.cards]
    return CardUse(card.node, card.gpu, card.total, card.usable, card.taken, tuple(shares))


def _shares(seat: Seat, card: CardRoom) -> Iterator[Share]:
    position = seat.cards.index(card)
    loaded = seat.loaded(position)
    for runner, demand in seat.runners.items():
        on_card = demand.on_cards(seat.usable)[position]
        yield _share(seat.instance.name, seat.first[runner], demand.need, on_card, runner not in loaded)


def _whole(group: Group) -> Share:
    return Share(group.unit, group.model, group.weights, group.kv_cache, group.demand.need.overhead)


def _share(instance: str, model: str, need: Need, on_card: int, waits: bool) -> Share:
    """A model's part of one card: what the engine adds whole, the rest in proportion."""
    split = on_card - need.overhead
    weights = split * need.weights // max(need.weights + need.kv_cache, 1)
    return Share(instance, model, weights, split - weights, need.overhead, waits)


def _load(placed: Placed) -> tuple[str, ...]:
    """What a user should know where even the whole fleet is too small for a load."""
    slots, load = sum(map(placed.slots, placed.places)), placed.ask.model.load
    if load is None or slots >= load or placed.short:
        return ()
    return (f"answers {slots} at once, load {load}: raise `replicas` or `parallel`",)


def _most(placed: Placed, demands: Demands) -> int | None:
    """Requests at once that each of its seats has room for; those of one sort with the same models are asked once."""
    if placed.short or not placed.seats:
        return None
    unlike = {(seat.sort, tuple(seat.models)): seat for seat in placed.seats if seat.cards}.values()
    if any(placed.slots(seat) < seat.settings.parallel or not placed.demand(seat).serving for seat in unlike):
        return None  # no matter of room: one request at a time, or its memory is declared as a whole
    return min((most_parallel(seat, placed.ask.name, demands) for seat in unlike), default=None)


def _model(placed: Placed, demands: Demands, benches: Sequence[Bench]) -> ModelUse:
    ask = placed.ask
    size = demands.size(ask.name)
    every = [placed.demand(place) for place in placed.places]
    demand = every[0] if every else would_be(placed, benches)
    return ModelUse(
        name=ask.name,
        wanted=placed.wanted,
        placed=tuple(place.name for place in placed.places),
        need=demand.need if demand else None,
        serving=in_words(demand).removeprefix("with ") if demand and demand.serving else "",
        known_from=size.known_from if size else "its vram_gib",
        error=size.error if size else 0.0,
        slots=sum(map(placed.slots, placed.places)),
        load=ask.model.load,
        most=_most(placed, demands),
        notes=(*dict.fromkeys(note for one in every for note in one.notes if note), *_load(placed)),
    )


def _with_measured(
    use: ModelUse, placed: Placed, models: Mapping[str, Model], measured: Sequence[Measurement]
) -> ModelUse:
    """With what was measured in the setting of its first replica."""
    if not placed.seats or not measured:
        return use
    setting = setting_of(placed.ask.model, placed.seats[0].instance)
    found = peak(measured, use.name, digest_of(use.name, models), setting)
    return replace(use, measured=found.peak_bytes, measured_by=found.measured_by) if found else use
