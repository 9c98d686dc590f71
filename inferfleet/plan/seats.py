"""Seats: instances while models are placed on them, with what each holds of its cards and its host."""

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from inferfleet.placed import Instance
from inferfleet.plan.demand import Demand
from inferfleet.plan.peak import Peak
from inferfleet.plan.rooms import CardRoom, HostRoom
from inferfleet.spec import OllamaEngine


@dataclass(frozen=True)
class Lack:
    """Why a model does not fit: of `what` (a card, memory, disk) at `where` it needs more than is free."""

    what: str
    where: str
    need: int
    free: int


@dataclass(slots=True, eq=False)
class Seat:
    """One instance: the models on it, and the runners that hold their weights.

    Attributes:
        first: of each runner, the model that it was started for.
        at_once: how many runners are loaded at the same time; the largest count.
        sort: equal for seats of which nothing but what is placed on them differs.
    """

    instance: Instance
    host: HostRoom
    cards: tuple[CardRoom, ...]
    at_once: int
    models: list[str] = field(default_factory=list)
    runners: dict[str, Demand] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    usable: tuple[int, ...] = ()
    held: tuple[Peak, ...] = ()
    ram_held: Peak = field(init=False)
    sort: object = None

    def __post_init__(self) -> None:
        self.usable = tuple(card.usable for card in self.cards)
        self.held, self.ram_held = self._peaks(())
        one = self.instance.settings
        served = (one.version, one.context, one.parallel, one.kv_cache_type, one.flash_attention)
        self.sort = (self.instance.engine, served, *((card.gpu.model, card.usable) for card in self.cards))

    @property
    def name(self) -> str:
        """`gpu1/ollama-gpu0`."""
        return f"{self.instance.node}/{self.instance.name}"

    @property
    def memory(self) -> int:
        """What its cards, empty, leave to engines."""
        return sum(self.usable)

    @property
    def settings(self) -> OllamaEngine:
        """Its engine's."""
        return self.instance.settings

    @property
    def takes_turns(self) -> bool:
        """Whether one more model takes the place of another, so that it may fit where nothing is free."""
        return len(self.runners) >= self.at_once

    @property
    def free(self) -> int:
        """What is free on its cards; on the CPU what is free of the host's memory, or less for each model there."""
        if self.cards:
            return sum(card.free for card in self.cards)
        ram = self.host.ram_free
        return ram if ram is not None else -self.ram_held.total

    def why_not(self, demand: Demand) -> Lack | None:
        """What it lacks for one more model; None where it fits."""
        old = self.runners.get(demand.runner)
        if old is not None and old.size >= demand.size:
            return None
        more, ram = self._more(demand)
        for card, needed in zip(self.cards, more, strict=True):
            if needed > (free := card.free_beside(demand.need.margin)):
                return Lack("card", card.name, needed, free)
        if self.runners and (evicted := self._evicted([*self._others(demand), demand])):
            return evicted
        lack = self.host.lack(demand.runner, ram, demand.need.disk)
        return Lack(lack[0], self.host.name, *lack[1:]) if lack else None

    def _evicted(self, demands: Sequence[Demand]) -> Lack | None:
        """Ollama loads a model beside others only where it believes that it takes 80 % of the rest at most.

        Else others must go (0.32.15, server/sched.go). Whatever the order of requests, the small ones come back beside
        the large ones, if they may.
        """
        if not self.cards or self.at_once == 1 or len(demands) < 2:
            return None
        largest = sorted(demands, key=lambda one: -one.size)[: self.at_once]
        first, *others = sorted(largest, key=lambda one: -one.predicted)
        taken = sum(card.taken for card in self.cards) - sum(peak.total for peak in self.held)
        rest = self.memory - taken - first.size
        for one in others:
            room = max(rest * 80 // 100, 0)
            if one.predicted > room:
                return Lack("card", self.cards[0].name, one.predicted, room)
            rest -= one.size
        return None

    def take(self, model: str, demand: Demand) -> None:
        """The model is on it."""
        self.first.setdefault(demand.runner, model)
        old = self.runners.get(demand.runner)
        if old is None or old.size < demand.size:
            more, ram = self._more(demand)
            for card, needed in zip(self.cards, more, strict=True):
                card.taken += needed
                card.margin = max(card.margin, demand.need.margin)
            self.host.ram_taken += ram
            self.runners[demand.runner] = demand
            self._hold(demand, anew=old is not None)
        self.host.store(demand.runner, demand.need.disk)
        self.models.append(model)

    def would_hold(self, demands: Iterable[Demand]) -> bool:
        """Whether these would fit in place of what is on it now."""
        runners: dict[str, Demand] = {}
        for one in demands:
            if one.runner not in runners or runners[one.runner].size < one.size:
                runners[one.runner] = one
        held, in_ram = self._peaks(runners.values())
        more = [after.total - before.total for after, before in zip(held, self.held, strict=True)]
        margin = max((one.need.margin for one in runners.values()), default=0)
        if any(needed > card.free_beside(margin) for card, needed in zip(self.cards, more, strict=True)):
            return False
        ram = self.host.ram_free
        return not self._evicted(list(runners.values())) and (ram is None or in_ram.total - self.ram_held.total <= ram)

    def loaded(self, position: int) -> set[str]:
        """The runners that may be loaded at the same time at worst for one of its cards: the largest there."""
        on_card = {name: one.on_cards(self.usable)[position] for name, one in self.runners.items()}
        return set(heapq.nlargest(self.at_once, on_card, key=lambda name: on_card[name]))

    def _others(self, demand: Demand) -> list[Demand]:
        return [other for runner, other in self.runners.items() if runner != demand.runner]

    def _more(self, demand: Demand) -> tuple[tuple[int, ...], int]:
        """What one more takes of each card and of the host's memory, beyond what is held for the others."""
        if demand.runner not in self.runners:
            shares = zip(self.held, self._shares(demand), strict=True)
            return tuple(peak.more(size) for peak, size in shares), self.ram_held.more(self._in_ram(demand))
        held, ram = self._peaks({**self.runners, demand.runner: demand}.values())
        more = tuple(after.total - before.total for after, before in zip(held, self.held, strict=True))
        return more, ram.total - self.ram_held.total

    def _hold(self, demand: Demand, anew: bool) -> None:
        """One more counts, or (`anew`) another in place of one with the same weights."""
        if anew:
            self.held, self.ram_held = self._peaks(self.runners.values())
            return
        for peak, size in zip(self.held, self._shares(demand), strict=True):
            peak.add(size)
        self.ram_held.add(self._in_ram(demand))

    def _peaks(self, demands: Collection[Demand]) -> tuple[tuple[Peak, ...], Peak]:
        """What some take of each card and of memory, with those loaded at once that take most of it."""
        columns = zip(*map(self._shares, demands), strict=True) if demands else ((),) * len(self.cards)
        held = tuple(Peak(self.at_once, column) for column in columns)
        return held, Peak(self.at_once, map(self._in_ram, demands))

    def _shares(self, demand: Demand) -> tuple[int, ...]:
        return demand.on_cards(self.usable) if self.cards else ()

    def _in_ram(self, demand: Demand) -> int:
        return demand.need.host


def seat(instance: Instance, host: HostRoom) -> Seat:
    """An empty seat. Where models are not kept loaded forever they take turns, so each needs room only by itself."""
    settings = instance.settings
    at_once = settings.max_loaded_models if settings.keep_alive == "forever" else 1
    by_place = {(card.gpu.backend, card.gpu.index): card for card in host.cards}
    cards = tuple(by_place[gpu.backend, gpu.index] for gpu in instance.gpus)
    return Seat(instance, host, cards, at_once)
