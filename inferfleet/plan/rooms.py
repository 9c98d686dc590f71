"""What hosts and cards have left, while models are placed on them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from inferfleet import catalogue
from inferfleet.catalogue import Card
from inferfleet.placed import PlacedGpu
from inferfleet.plan.capacity import GIB
from inferfleet.spec import FleetNode

# The system, sshd, Docker and what else a host runs: our own allowance.
_SYSTEM_RAM = 2 * GIB
# Of a card that is in no catalogue: what its driver keeps of the memory that is declared for it.
_RESERVE = 0.04
_MOST = 2048


@dataclass(slots=True, eq=False)
class CardRoom:
    """One card: `usable` bytes on an empty one, `taken` of them, and `margin` more must stay free."""

    node: str
    position: int
    gpu: PlacedGpu
    known: Card | None
    total: int
    usable: int
    taken: int = 0
    margin: int = 0

    @property
    def name(self) -> str:
        """`gpu1/0`."""
        return f"{self.node}/{self.position}"

    @property
    def free(self) -> int:
        """What nobody has taken and nobody needs free."""
        return self.free_beside(0)

    def free_beside(self, margin: int) -> int:
        """What somebody may take who needs `margin` more to stay free."""
        return self.usable - self.taken - max(self.margin, margin)


@dataclass(slots=True, eq=False)
class HostRoom:
    """One host: its cards, and its memory and disk where they are declared."""

    name: str
    cards: tuple[CardRoom, ...]
    ram: int | None
    disk: int | None
    ram_taken: int = 0
    disk_taken: int = 0
    stored: set[str] = field(default_factory=set)

    @property
    def ram_free(self) -> int | None:
        """Memory that nobody has taken; None where the host's is not declared."""
        return None if self.ram is None else self.ram - self.ram_taken

    def lack(self, runner: str, ram: int, disk: int) -> tuple[str, int, int] | None:
        """Of what (memory, disk) it has too little for a runner, how much that needs, and what is free."""
        if self.ram_free is not None and ram > self.ram_free:
            return "memory", ram, max(self.ram_free, 0)
        if self.disk_free is not None and runner not in self.stored and disk > self.disk_free:
            return "disk", disk, max(self.disk_free, 0)
        return None

    def store(self, runner: str, size: int) -> None:
        """The weights lie on its disk, once for all who use them."""
        if runner not in self.stored:
            self.stored.add(runner)
            self.disk_taken += size

    @property
    def disk_free(self) -> int | None:
        """Disk that no model has taken; None where the host's is not declared."""
        return None if self.disk is None else self.disk - self.disk_taken


def host_room(node: FleetNode, gpus: Iterable[PlacedGpu]) -> HostRoom:
    """A host as nobody has placed anything on it yet."""
    declared = node.node
    cards = tuple(_card_room(node.name, position, gpu) for position, gpu in enumerate(gpus))
    ram = None if declared.ram_gib is None else max(int(declared.ram_gib * GIB) - _SYSTEM_RAM, 0)
    return HostRoom(node.name, cards, ram, None if declared.disk_gib is None else int(declared.disk_gib * GIB))


def unknown_cards(rooms: Iterable[HostRoom]) -> Iterator[str]:
    """A line for each kind of card whose memory is not known, or is declared as it cannot be."""
    found: dict[str, list[str]] = {}
    for card in (card for room in rooms for card in room.cards):
        if wrong := _wrong(card):
            found.setdefault(wrong, []).append(f"{card.node}: gpus[{card.position}]")
    for wrong, places in found.items():
        more = f" (and {len(places) - 1} more)" if places[1:] else ""
        yield f"{places[0]}{more}: {wrong}"


def _wrong(card: CardRoom) -> str:
    declared = card.gpu.vram_gib
    if card.known is None and declared is None:
        near = " or ".join(repr(name) for name in catalogue.near(card.gpu.model))
        meant = f"did you mean {near}? Else add" if near else "add"
        return f"the memory of a {card.gpu.model!r} is not known; {meant} its vram_gib"
    if card.known and card.known.vendor != "nvidia" and card.gpu.backend == "cuda":
        return f"a {card.known.name} is none of NVIDIA's; add its backend: 'vulkan'"
    if card.known is None and declared is not None and declared > _MOST:
        return f"vram_gib: no card has {declared:g} GiB; write its memory in GiB, as in 24"
    mistake = catalogue.memory_mistake(card.known, declared) if card.known and declared is not None else None
    return f"vram_gib: {mistake}; correct it, or leave it out" if mistake else ""


def _card_room(node: str, position: int, gpu: PlacedGpu) -> CardRoom:
    known = catalogue.find(gpu.model)
    if known is None and gpu.vram_gib is not None:
        known = catalogue.find(gpu.model, int(gpu.vram_gib * GIB))
    return CardRoom(node, position, gpu, known, *_memory(known, gpu))


def _memory(known: Card | None, gpu: PlacedGpu) -> tuple[int, int]:
    """The card's memory, and what of it an empty card leaves to engines."""
    declared = int((gpu.vram_gib or 0) * GIB)
    if known is None:
        return declared, int(declared * (1 - _RESERVE))
    sizes = (known.memory, known.other_memory or known.memory)  # with ECC on and off
    total = min(sizes, key=lambda size: abs(size - declared)) if declared else known.memory
    return total, known.usable * total // known.memory
