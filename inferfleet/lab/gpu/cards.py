"""`host.gpus`: the cards of a lab host, and what can go wrong with them."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inferfleet.errors import LabError
from inferfleet.lab.gpu.double import gpuconf
from inferfleet.lab.gpu.double.gpuconf import Conf


@dataclass(frozen=True)
class Card:
    """A card as it is now.

    Args:
        index: its place on the bus, which is NVML's index where the driver shows all cards.
        uuid: `GPU-...`.
        name: as the driver says it.
        pci: bus id, as `nvidia-smi` writes it.
        memory_mib: in all.
        compute: CUDA compute capability.
        slot: its index as delivered; another than `index` after a shuffle.
    """

    index: int
    uuid: str
    name: str
    pci: str
    memory_mib: int
    compute: str
    slot: int


class Host(Protocol):
    """What is needed of a lab host: its name and declaration, a command in it, a program on its disk."""

    name: str

    @property
    def gpu_names(self) -> tuple[str, ...]: ...

    def on_disk(self, argv: Sequence[str | Path], stdin: str = "") -> str: ...

    def path(self, inside: str) -> Path: ...


class Gpus(Sequence[Card]):
    """The cards of a lab host, in the order of the bus.

    Args:
        host: it.
    """

    def __init__(self, host: Host) -> None:
        self.host = host

    def __len__(self) -> int:
        return len(self.host.gpu_names)

    def __getitem__(self, index: int) -> Card:  # type: ignore[override]
        return self._cards()[index]

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards())

    def conf(self) -> Conf:
        """The host's conf file.

        Raises:
            LabError: the host has no cards.
        """
        if not self.host.gpu_names:
            raise LabError(f"{self.host.name}: has no cards", "declare them: HostSpec(name, gpus=(...))")
        return Conf.parse(self.host.on_disk(["cat", self.host.path(gpuconf.PATH)]))

    def change(self, host: dict[str, str] | None = None, cards: dict[int, dict[str, str]] | None = None) -> None:
        """Keys of the conf file have these values, of the host and of cards by slot; seen at once, in containers too."""
        edits = {"host": host or {}, "cards": {str(slot): keys for slot, keys in (cards or {}).items()}}
        program = [sys.executable, "-I", "-S", gpuconf.__file__, self.host.path(gpuconf.PATH)]
        self.host.on_disk(program, json.dumps(edits))

    def _cards(self) -> list[Card]:
        if not self.host.gpu_names:
            return []
        return [_card(index, keys) for index, keys in enumerate(self.conf().cards)]


def _card(index: int, keys: dict[str, str]) -> Card:
    memory_mib, slot = int(keys["memory_mib"]), int(keys["slot"])
    return Card(index, keys["uuid"], keys["name"], keys["pci"], memory_mib, keys["compute"], slot)
