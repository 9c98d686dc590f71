"""What is lost if a host, or one card, goes: nothing is placed anew, since a model takes minutes to load."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import Loss
from inferfleet.plan.groups import Group
from inferfleet.plan.seats import Seat


def losses(placed: Sequence[Placed], benches: Sequence[Bench]) -> tuple[Loss, ...]:
    """One for each host, and for each card of a host that has more than one, of which the loss is felt."""
    serving: dict[Seat | Group, list[Placed]] = {}
    for one in placed:
        for place in one.places:
            serving.setdefault(place, []).append(one)
    whole = {one.ask.name: (len(one.places), sum(map(one.slots, one.places))) for one in placed}
    found = (_loss(bench.name, card, places, serving, whole) for bench in benches for card, places in _parts(bench))
    return tuple(loss for loss in found if loss.gone or loss.fewer)


def _parts(bench: Bench) -> Iterator[tuple[int | None, list[Seat | Group]]]:
    """What can go: the host with all that runs on it, or one card with those that use it."""
    every: list[Seat | Group] = [*bench.seats, *bench.groups]
    yield None, every
    if len(bench.room.cards) > 1:
        for card in bench.room.cards:
            yield card.position, [place for place in every if card in place.cards]


def _loss(
    node: str,
    card: int | None,
    places: Sequence[Seat | Group],
    serving: Mapping[Seat | Group, Sequence[Placed]],
    whole: Mapping[str, tuple[int, int]],  # replicas and slots
) -> Loss:
    lost, slots, models = Counter[str](), Counter[str](), dict[str, Placed]()
    for place in places:
        for one in serving.get(place, ()):
            models[one.ask.name] = one
            lost[one.ask.name] += 1
            slots[one.ask.name] += one.slots(place)
    left = {name: (whole[name][0] - lost[name], whole[name][0]) for name in models}
    rest = {
        name: (whole[name][1] - slots[name], one.ask.model.load)
        for name, one in models.items()
        if one.ask.model.load is not None
    }
    return Loss(
        node,
        card,
        gone=tuple(name for name, (count, _) in left.items() if not count),
        fewer={name: counts for name, counts in left.items() if counts[0]},
        overloaded={name: (can, load) for name, (can, load) in rest.items() if can < load},
    )
