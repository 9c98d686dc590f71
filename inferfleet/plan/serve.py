"""Models with an engine of their own onto groups of cards, hosts in the order of the inventory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inferfleet.engines.budgets import most
from inferfleet.plan.bench import Bench, Placed
from inferfleet.plan.capacity import GIB
from inferfleet.plan.filters import Ask, cannot, gib, how_many
from inferfleet.plan.groups import Group, teams
from inferfleet.plan.rooms import CardRoom, HostRoom
from inferfleet.spec import ServerEngine

Team = tuple[Bench, tuple[CardRoom, ...]]


def serve(ask: Ask, benches: Sequence[Bench]) -> Placed:
    """Place a model's replicas; each takes the first hosts that have a group of cards for it.

    A replica over several hosts may take cards that were there before its last host was. So that hosts at the end move
    nothing, only a number of replicas is made over several hosts: `all` and `fitting` are all that single hosts hold.
    """
    copies = ask.model.copies
    found = Placed(ask, copies if isinstance(copies, int) else 1)
    found.reason = _heads(ask)
    if not found.reason:
        _Search(ask, found).over(benches)
    if found.short and not found.reason:
        found.reason, found.steps = _why(ask, benches, found)
    return found


def settings_on(ask: Ask, bench: Bench) -> ServerEngine | None:
    """The engine's settings on a host, the model's own first; None where the host has not that engine."""
    settings: ServerEngine | None = getattr(bench.node.engines, ask.model.engine)
    own = {key: value for key in ("context", "parallel") if (value := getattr(ask.model, key)) is not None}
    return settings.model_copy(update=own) if settings and own else settings


def _heads(ask: Ask) -> str:
    size, cards = ask.demands.size(ask.name), ask.model.tensor_parallel
    if size is None or size.shape.heads % cards == 0:
        return ""
    fewer = max(count for count in (1, 2, 4, 8, 16, 32) if size.shape.heads % count == 0 and count < cards)
    return f"tensor_parallel {cards} does not divide its {size.shape.heads} heads; set tensor_parallel to {fewer}"


@dataclass
class _Search:
    """The search for cards, host by host; no two replicas have a card in common.

    Attributes:
        left: groups of cards that no replica has, on hosts before, by the engine's settings there.
    """

    ask: Ask
    found: Placed
    left: dict[ServerEngine, list[Team]] = field(default_factory=dict)

    def over(self, benches: Sequence[Bench]) -> None:
        """Make replicas until there are enough."""
        counted = isinstance(self.ask.model.copies, int)
        for bench in benches:
            settings = settings_on(self.ask, bench) if self._is_meant(bench) else None
            while settings and (self.found.short or not counted):
                stages = self._stages(bench, settings)
                if stages is None:
                    break
                self.found.groups.append(_take(self.ask, stages, settings))
                self.found.wanted = max(self.found.wanted, len(self.found.groups))

    def _is_meant(self, bench: Bench) -> bool:
        places = self.ask.model.on
        return not places or any(place.partition("/")[0] == bench.name for place in places)

    def _stages(self, bench: Bench, settings: ServerEngine) -> list[Team] | None:
        """The groups of cards of one more replica, on this host or with those before; else what it has is left."""
        parts = self.ask.model.pipeline_parallel
        here = self._teams(bench, settings)
        if len(here) >= parts:
            return here[:parts]
        if parts > 1 and isinstance(self.ask.model.copies, int):
            before = [team for team in self.left.get(settings, ()) if team in self._teams(team[0], settings)]
            if len(before) + len(here) >= parts:
                return [*before, *here][:parts]
            self.left[settings] = [*before, *here]
        return None

    def _teams(self, bench: Bench, settings: ServerEngine) -> list[Team]:
        groups = self.found.groups
        if self.ask.model.placement == "spread" and any(bench.room in _rooms(group) for group in groups):
            return []
        used = {card for group in bench.groups if group in groups for card in group.cards}
        fits = [card for card in bench.room.cards if card not in used and not why_not(self.ask, settings, bench, card)]
        return [(bench, cards) for cards in teams(bench.node, bench.room, self.ask.model, fits)]


def why_not(ask: Ask, settings: ServerEngine, bench: Bench, card: CardRoom) -> str:
    """Why a replica cannot have a card, as the rest of `3 cards ...`."""
    each = each_card(ask, settings)
    if ask.model.on and not any(place in (card.node, card.name) for place in ask.model.on):
        return "are not named in `on`"
    size = ask.demands.size(ask.name)
    weights = size.weights.format if size else ""
    if no := cannot(ask.model.engine, settings.version, card, weights, settings.kv_cache_type):
        return f"cannot run it: {no}"
    if each > (room := most(card.usable)):
        return f"are too small ({gib(each)} of {gib(room)} GiB on an empty {card.gpu.model})"
    if each > card.free:
        return "have no room left"
    if _port(bench, settings) is None:
        return f"are on a host with no port left from {settings.port} on"
    demand = ask.demands.served(ask.name, settings)
    lack = bench.room.lack(demand.runner, demand.need.host, demand.need.disk)
    return f"are on a host with no {lack[0]} left" if lack else ""


def each_card(ask: Ask, settings: ServerEngine) -> int:
    """What a replica takes of each of its cards: its budget, or what it needs."""
    need, budget = ask.demands.served(ask.name, settings).need.per_card, settings.vram_budget_gib
    return need if budget is None else max(need, int(budget * GIB))


def _take(ask: Ask, stages: Sequence[Team], settings: ServerEngine) -> Group:
    """The replica on these cards, which are taken now."""
    parts: dict[HostRoom, tuple[CardRoom, ...]] = {}
    for bench, cards in stages:
        parts[bench.room] = (*parts.get(bench.room, ()), *cards)
    port = _port(stages[0][0], settings) or settings.port
    demand = ask.demands.served(ask.name, settings)
    each = each_card(ask, settings)
    group = Group(ask.name, ask.model.engine, settings, tuple(parts.items()), demand, each, port)
    for card in group.cards:
        card.taken += each
    for bench in dict.fromkeys(bench for bench, _ in stages):
        bench.room.store(demand.runner, demand.need.disk)
        bench.room.ram_taken += demand.need.host
        bench.groups.append(group)
    return group


def _port(bench: Bench, settings: ServerEngine) -> int | None:
    """The first port of a host that is free for one more engine."""
    taken = {group.port for group in bench.groups} | {seat.instance.port for seat in bench.seats}
    return next((port for port in range(settings.port, 65536) if port not in taken), None)


def _rooms(group: Group) -> list[HostRoom]:
    return [room for room, _ in group.parts]


def _why(ask: Ask, benches: Sequence[Bench], found: Placed) -> tuple[str, tuple[str, ...]]:
    """What is wrong and what to do, and what each reason left out."""
    used = {card for group in found.groups for card in group.cards}
    whys, needs = Counter[str](), set[int]()
    for bench in benches:
        if settings := settings_on(ask, bench):
            needs.add(each_card(ask, settings))
            whys.update(why_not(ask, settings, bench, card) for card in bench.room.cards if card not in used)
    steps = tuple(how_many(count, why, "card") for why, count in whys.most_common() if why)
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
