"""Models with an engine of their own onto groups of cards, hosts in the order of the inventory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import GIB
from inferfleet.plan.filters import Ask, cannot, gib
from inferfleet.plan.groups import Group, teams
from inferfleet.plan.rooms import CardRoom, HostRoom
from inferfleet.spec import ServerEngine

Team = tuple[Bench, tuple[CardRoom, ...]]


def serve(ask: Ask, benches: Sequence[Bench]) -> Placed:
    """Place a model's replicas; each takes the first hosts that have a group of cards for it."""
    copies = ask.model.copies
    found = Placed(ask, copies if isinstance(copies, int) else 1)
    found.reason = _heads(ask)
    while not found.reason and (found.short or isinstance(copies, str)):
        group = _Search(ask, found.groups).group(benches)
        if group is None:
            break
        _take(group, benches)
        found.groups.append(group)
        found.wanted = max(found.wanted, len(found.groups))
    if found.short and not found.reason:
        found.reason, found.steps = _why(ask, benches, found)
    return found


def settings_on(ask: Ask, bench: Bench) -> ServerEngine | None:
    """The engine's settings on a host, the model's own first; None where the host has not that engine."""
    settings: ServerEngine | None = getattr(bench.node.engines, ask.model.engine)
    own = {key: value for key in ("context", "parallel") if (value := getattr(ask.model, key)) is not None}
    return settings.model_copy(update=own) if settings else None


def _heads(ask: Ask) -> str:
    size, cards = ask.demands.size(ask.name), ask.model.tensor_parallel
    if size is None or size.shape.heads % cards == 0:
        return ""
    fewer = max(count for count in (1, 2, 4, 8, 16, 32) if size.shape.heads % count == 0 and count < cards)
    return f"tensor_parallel {cards} does not divide its {size.shape.heads} heads; set tensor_parallel to {fewer}"


@dataclass
class _Search:
    """The search for one more replica's cards: none that another replica has."""

    ask: Ask
    there: Sequence[Group]
    stages: list[Team] = field(default_factory=list)

    def group(self, benches: Sequence[Bench]) -> Group | None:
        """The first group; one over several hosts is made as soon as the hosts so far have its parts."""
        parts = self.ask.model.pipeline_parallel
        for bench in benches:
            settings = self._settings(bench)
            if settings is None:
                continue
            each = each_card(self.ask, settings)
            here = [(bench, team) for team in self._teams(bench, settings, each)]
            self.stages += here
            for stages in (here, self.stages):
                if len(stages) >= parts:
                    return _group(self.ask, stages[:parts], settings, each)
        return None

    def _settings(self, bench: Bench) -> ServerEngine | None:
        """The engine's settings on a host; None where the replica must not be there."""
        model = self.ask.model
        if model.on and not any(place.partition("/")[0] == bench.name for place in model.on):
            return None
        if model.placement == "spread" and any(bench.room in _rooms(group) for group in self.there):
            return None
        return settings_on(self.ask, bench)

    def _teams(self, bench: Bench, settings: ServerEngine, each: int) -> list[tuple[CardRoom, ...]]:
        used = {card for group in self.there for card in group.cards}
        fits = [c for c in bench.room.cards if c not in used and not why_not(self.ask, settings, each, c)]
        return list(teams(bench.node, bench.room, self.ask.model, fits))


def why_not(ask: Ask, settings: ServerEngine, each: int, card: CardRoom) -> str:
    """Why a replica cannot have a card, as the rest of `3 cards ...`."""
    if ask.model.on and not any(place in (card.node, card.name) for place in ask.model.on):
        return "are not named in `on`"
    size = ask.demands.size(ask.name)
    weights = size.weights.format if size else ""
    if no := cannot(ask.model.engine, settings.version, card, weights, settings.kv_cache_type):
        return f"cannot run it: {no}"
    if each > card.usable:
        return f"are too small ({gib(each)} of {gib(card.usable)} GiB on an empty {card.gpu.model})"
    return "have no room left" if each > card.free else ""


def each_card(ask: Ask, settings: ServerEngine) -> int:
    """What a replica takes of each of its cards: its budget, or what it needs."""
    need, budget = ask.demands.served(ask.name, settings).need.per_card, settings.vram_budget_gib
    return need if budget is None else max(need, int(budget * GIB))


def _group(ask: Ask, stages: Sequence[Team], settings: ServerEngine, each: int) -> Group:
    parts: dict[HostRoom, tuple[CardRoom, ...]] = {}
    for bench, cards in stages:
        parts[bench.room] = (*parts.get(bench.room, ()), *cards)
    first = stages[0][0]
    taken = {group.port for group in first.groups} | {seat.instance.port for seat in first.seats}
    port = next(port for port in range(settings.port, 65536) if port not in taken)
    demand = ask.demands.served(ask.name, settings)
    return Group(ask.name, ask.model.engine, settings, tuple(parts.items()), demand, each, port)


def _rooms(group: Group) -> list[HostRoom]:
    return [room for room, _ in group.parts]


def _take(group: Group, benches: Sequence[Bench]) -> None:
    for card in group.cards:
        card.taken += group.each
    for room, _ in group.parts:
        room.store(group.demand.runner, group.demand.need.disk)
        room.ram_taken += group.demand.need.host
    for bench in benches:
        if bench.room in _rooms(group):
            bench.groups.append(group)


def _why(ask: Ask, benches: Sequence[Bench], found: Placed) -> tuple[str, tuple[str, ...]]:
    """What is wrong and what to do, and what each reason left out."""
    used = {card for group in found.groups for card in group.cards}
    whys, needs = Counter[str](), set[int]()
    for bench in benches:
        if settings := settings_on(ask, bench):
            each = each_card(ask, settings)
            needs.add(each)
            whys.update(why_not(ask, settings, each, card) for card in bench.room.cards if card not in used)
    steps = tuple(f"{count} cards {why}" for why, count in whys.most_common() if why)
    cards = ask.model.tensor_parallel * ask.model.pipeline_parallel
    count = f"{found.short} of {found.wanted} replicas: " if found.groups else ""
    of_one = " of one host" if ask.model.pipeline_parallel == 1 else ""
    group = "no card has" if cards == 1 else f"no {cards} cards{of_one} have"
    if not whys and not found.groups:
        return f"no host has cards for {ask.model.engine}; add cards to a host with engines.{ask.model.engine}", steps
    (most, _), *others = whys.most_common() or [("", 0)]
    if most.startswith("cannot run it: ") and not others:
        return count + most.removeprefix("cannot run it: "), steps
    return (
        f"{count}{group} {gib(min(needs))} GiB free for it ({', '.join(steps) or 'all cards are its own'}); "
        f"lower `context`, `parallel` or `replicas`, raise `tensor_parallel`, or add cards"
    ), steps
