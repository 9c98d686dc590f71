"""A plan with all that is wrong with it: what is placed, what is refused, what each card holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from inferfleet.calibration import Measurement
from inferfleet.placed import Instance, Server
from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import Capacity, Refusal
from inferfleet.plan.demand import Demands, context_mistake
from inferfleet.plan.fill import fill
from inferfleet.plan.place import cards_of, instances_of
from inferfleet.plan.refuse import lacking, refusal
from inferfleet.plan.report import capacity, server
from inferfleet.plan.rooms import host_room, unknown_cards
from inferfleet.plan.seats import seat
from inferfleet.plan.suggest import Change, candidates, changed
from inferfleet.spec import Fleet

# Every suggestion is tried on the whole fleet, which is models times seats of work; so much is done for all of them.
_WORK = 800_000
_SUGGESTIONS = 3


@dataclass(frozen=True)
class Draft:
    """What came of a fleet.

    Attributes:
        instances: each host's, with their models.
        servers: replicas with an engine of their own.
        capacity: what they take.
        mistakes: lines about the inventory itself, for which nothing could be placed.
    """

    instances: dict[str, tuple[Instance, ...]]
    servers: tuple[Server, ...]
    capacity: Capacity
    mistakes: tuple[str, ...]


def draft(fleet: Fleet, measured: Sequence[Measurement] = ()) -> Draft:
    """Place what can be placed; the same fleet gives the same draft."""
    mistakes: list[str] = []
    benches = _benches(fleet, mistakes)
    mistakes += unknown_cards(bench.room for bench in benches)
    demands = Demands(fleet)
    mistakes += demands.mistakes or [*_contexts(fleet, demands)]
    if mistakes:
        return Draft({}, (), Capacity(), tuple(dict.fromkeys(mistakes)))
    placed = fill(fleet, benches, demands)
    refusals = tuple(_refusals(fleet, placed, benches, demands))
    instances = {
        bench.room.name: tuple(replace(one.instance, models=tuple(one.models)) for one in bench.seats)
        for bench in benches
    }
    servers = tuple(server(group) for one in placed for group in one.groups)
    return Draft(instances, servers, capacity(benches, placed, demands, refusals, measured), ())


def _benches(fleet: Fleet, mistakes: list[str]) -> list[Bench]:
    benches = []
    for node in fleet.nodes:
        room = host_room(node, cards_of(node))
        benches.append(Bench(node, room, tuple(seat(one, room) for one in instances_of(node, mistakes))))
    return benches


def _contexts(fleet: Fleet, demands: Demands) -> Iterator[str]:
    for name, model in fleet.models:
        size = demands.size(name)
        every = (getattr(node.engines, model.engine) for node in fleet.nodes)
        for settings in {id(one): one for one in every}.values():
            if size and settings and (line := context_mistake(name, model, settings, size)):
                yield line


def _refusals(fleet: Fleet, placed: Sequence[Placed], benches: Sequence[Bench], demands: Demands) -> Iterator[Refusal]:
    """Refusals with the changes that were seen to let the model fit without another losing its place."""
    fits_now = {one.ask.name for one in placed if not one.short}
    tries = _WORK // max(sum(len(bench.seats) for bench in benches) * len(placed), 1)
    for one in (one for one in placed if one.short):
        short = lacking(one, benches)
        like = short[0].instance.settings if short else None
        true: list[Change] = []
        for change in islice(candidates(one, short, benches, demands), tries):
            tries -= 1
            if fits_now | {one.ask.name} <= _placed(changed(fleet, change, like), demands):
                true.append(change)
            if len(true) == _SUGGESTIONS:
                break
        yield refusal(one, benches, true)


def _placed(fleet: Fleet, demands: Demands) -> set[str]:
    """The models of which every replica is placed; none where the fleet has a mistake."""
    mistakes: list[str] = []
    benches = _benches(fleet, mistakes)
    if mistakes:
        return set()
    return {one.ask.name for one in fill(fleet, benches, demands.of_same_sizes(fleet)) if not one.short}
