"""Seats: instances while models are placed on them, with what each holds of its cards and its host."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inferfleet.placed import Instance
from inferfleet.plan.demand import Demand
from inferfleet.plan.rooms import CardRoom, HostRoom


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
    held: tuple[int, ...] = ()
    ram_held: int = 0
    sort: object = None

    def __post_init__(self) -> None:
        self.held = (0,) * len(self.cards)
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
        return sum(card.usable for card in self.cards)

    @property
    def slots(self) -> int:
        """Requests that it answers at once for each model."""
        return self.instance.settings.parallel

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
        return ram if ram is not None else -self.ram_held

    def why_not(self, demand: Demand) -> Lack | None:
        """What it lacks for one more model; None where it fits."""
        old = self.runners.get(demand.runner)
        if old is not None and old.size >= demand.size:
            return None
        with_it = {**self.runners, demand.runner: demand}
        for card, after, before in zip(self.cards, self._on_cards(with_it), self.held, strict=True):
            free = card.usable - card.taken - max(card.margin, demand.need.margin)
            if after - before > free:
                return Lack("card", card.name, after - before, free)
        if self.cards and (evicted := self._evicted(with_it)):
            return evicted
        lack = self.host.lack(demand.runner, self._in_ram(with_it) - self.ram_held, demand.need.disk)
        return Lack(lack[0], self.host.name, *lack[1:]) if lack else None

    def _evicted(self, runners: Mapping[str, Demand]) -> Lack | None:
        """Ollama loads a model beside others only where it believes that it takes 80 % of the rest at most.

        Else others must go (0.32.15, server/sched.go). Whatever the order of requests, the small ones come back beside
        the large ones, if they may.
        """
        first, *others = sorted(_largest(runners.values(), self.at_once), key=lambda one: -one.predicted)
        rest = self.memory - sum(card.taken for card in self.cards) + sum(self.held) - first.size
        for one in others:
            if one.predicted > (room := rest * 80 // 100):
                return Lack("card", self.cards[0].name, one.predicted, max(room, 0))
            rest -= one.size
        return None

    def take(self, model: str, demand: Demand) -> None:
        """The model is on it."""
        self.first.setdefault(demand.runner, model)
        old = self.runners.get(demand.runner)
        if old is None or old.size < demand.size:
            for card in self.cards:
                card.margin = max(card.margin, demand.need.margin)
            self.runners[demand.runner] = demand
            held = self._on_cards(self.runners)
            for card, after, before in zip(self.cards, held, self.held, strict=True):
                card.taken += after - before
            ram = self._in_ram(self.runners)
            self.host.ram_taken += ram - self.ram_held
            self.held, self.ram_held = held, ram
        self.host.store(demand.runner, demand.need.disk)
        self.models.append(model)

    def would_hold(self, demands: Iterable[Demand]) -> bool:
        """Whether these would fit in place of what is on it now."""
        runners: dict[str, Demand] = {}
        for one in demands:
            if one.runner not in runners or runners[one.runner].size < one.size:
                runners[one.runner] = one
        margin = max((one.need.margin for one in runners.values()), default=0)
        cards = zip(self.cards, self._on_cards(runners), self.held, strict=True)
        ram = self.host.ram_free
        fits = all(after - before <= card.usable - card.taken - margin for card, after, before in cards)
        return fits and not self._evicted(runners) and (ram is None or self._in_ram(runners) - self.ram_held <= ram)

    def loaded(self) -> list[Demand]:
        """The runners that may be loaded at the same time at worst: its largest."""
        return _largest(self.runners.values(), self.at_once)

    def _on_cards(self, runners: Mapping[str, Demand]) -> tuple[int, ...]:
        if len(self.cards) == 1:
            return (sum(one.need.per_card for one in _largest(runners.values(), self.at_once)),)
        usable = tuple(card.usable for card in self.cards)
        shares = [one.on_cards(usable) for one in _largest(runners.values(), self.at_once)]
        return tuple(sum(column) for column in zip(*shares, strict=True)) if shares else (0,) * len(self.cards)

    def _in_ram(self, runners: Mapping[str, Demand]) -> int:
        loaded = _largest(runners.values(), self.at_once)
        return sum(one.need.host for one in loaded)


def _largest(demands: Iterable[Demand], count: int) -> list[Demand]:
    found = list(demands)
    if len(found) <= count:
        return found
    return sorted(found, key=lambda one: -one.size)[:count]


def seat(instance: Instance, host: HostRoom) -> Seat:
    """An empty seat. Where models are not kept loaded forever they take turns, so each needs room only by itself."""
    settings = instance.settings
    at_once = settings.max_loaded_models if settings.keep_alive == "forever" else 1
    by_place = {(card.gpu.backend, card.gpu.index): card for card in host.cards}
    cards = tuple(by_place[gpu.backend, gpu.index] for gpu in instance.gpus)
    return Seat(instance, host, cards, at_once)
