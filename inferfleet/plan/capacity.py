"""What the plan knows of memory: each card with what lies on it, each model with what it takes, what a loss would cost.

All sizes are bytes. Views, roles and checks read these; nothing here computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inferfleet.memory import Need
from inferfleet.placed import PlacedGpu

GIB = 1024**3


@dataclass(frozen=True)
class Share:
    """What one model takes of one card.

    Attributes:
        instance: the instance that serves it.
        model: its name; further names for the same weights take nothing and have no share of their own.
        weights: its weights.
        kv_cache: its KV cache, for all of its sequences.
        overhead: what the engine adds for it.
        waits: whether it is loaded on demand, in place of others, so that it counts only where it is the largest.
    """

    instance: str
    model: str
    weights: int
    kv_cache: int
    overhead: int
    waits: bool = False

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.overhead


@dataclass(frozen=True)
class CardUse:
    """One card and what lies on it.

    Attributes:
        node: its host.
        gpu: it.
        total: its memory as the driver reports it.
        usable: what an empty card leaves to engines.
        taken: what is planned on it.
        shares: by whom.
    """

    node: str
    gpu: PlacedGpu
    total: int
    usable: int
    taken: int
    shares: tuple[Share, ...]

    @property
    def free(self) -> int:
        """What nobody has taken."""
        return self.usable - self.taken


@dataclass(frozen=True)
class HostUse:
    """A host's memory and disk: what there is (None: not declared), and what is planned."""

    node: str
    ram: int | None
    ram_taken: int
    disk: int | None
    disk_taken: int


@dataclass(frozen=True)
class ModelUse:
    """One declared model.

    Attributes:
        name: it.
        wanted: how many replicas; of `all` and `fitting` what there could be.
        placed: where they are, as `node/instance`.
        need: what one copy takes; None where `vram_gib` says it, or where it is placed nowhere.
        serving: `context 4096 x parallel 4, f16`.
        known_from: where its size is known from.
        error: how far off its weights may be, as a fraction.
        slots: requests that all replicas can answer at once.
        load: requests that it is declared to carry; None where it is not declared.
        notes: what a user should know, such as a context that is cut to the model's own.
        most: requests at once for which every replica has room, all else as it is; None where that is not known.
        measured: peak that was measured for these settings, on all cards of one copy; None where none was.
        measured_by: the driver (`nvml`), or the engine's own count, which lacks the driver's part (`ollama`).
    """

    name: str
    wanted: int
    placed: tuple[str, ...]
    need: Need | None
    serving: str
    known_from: str
    error: float
    slots: int
    load: int | None
    notes: tuple[str, ...] = ()
    most: int | None = None
    measured: int | None = None
    measured_by: Literal["nvml", "ollama"] | None = None


@dataclass(frozen=True)
class Refusal:
    """A model, or a replica of one, that is not placed.

    Attributes:
        model: its name.
        line: `models.x: what is wrong; what to do`, in one line.
        steps: what each filter left, in order, for people who want to know why.
        changes: settings with which it would fit, each a mapping of setting -> value; every one was tried.
    """

    model: str
    line: str
    steps: tuple[str, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Loss:
    """What is lost if a host, or one of its cards, goes.

    Attributes:
        node: the host.
        card: its card by index; None for the whole host.
        gone: models of which no replica is left.
        fewer: models of which some are left, with replicas `(left, before)`.
        overloaded: models whose rest cannot carry the declared load, with `(slots left, load)`.
    """

    node: str
    card: int | None
    gone: tuple[str, ...]
    fewer: Mapping[str, tuple[int, int]]
    overloaded: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Capacity:
    """The fleet's memory, in the order of the inventory."""

    cards: tuple[CardUse, ...] = ()
    hosts: tuple[HostUse, ...] = ()
    models: tuple[ModelUse, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    losses: tuple[Loss, ...] = field(default=())
