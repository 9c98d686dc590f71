"""`host.gpus`: the cards of a lab host, and what can go wrong with them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inferfleet.errors import LabError
from inferfleet.lab.gpu.double import gpuconf
from inferfleet.lab.gpu.double.gpuconf import Conf
from inferfleet.lab.gpu.driver import LIBRARIES, driver_tree
from inferfleet.lab.gpu.place import delivered
from inferfleet.lab.gpu.switches import SWITCHES
from inferfleet.lab.paths import cache_dir
from inferfleet.lab.say import quiet
from inferfleet.lab.state import HostSpec

# Switch -> what a card's keys are without it.
_SOUND = {"lost": {"lost": "0"}, "ecc": {"remap_pending": "0"}, "mig": {"mig": ""}}


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
        faults: what is wrong with it, by the names of the switches.
    """

    index: int
    uuid: str
    name: str
    pci: str
    memory_mib: int
    compute: str
    slot: int
    faults: tuple[str, ...] = ()


class Host(Protocol):
    """What is needed of a lab host."""

    name: str
    spec: HostSpec

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on it."""

    def on_disk(self, argv: Sequence[str | Path], stdin: str = "") -> str:
        """Run a program of this machine that sees its disk."""

    def path(self, inside: str) -> Path:
        """Where a file of it is for `on_disk`."""


class Gpus(Sequence[Card]):
    """The cards of a lab host, in the order of the bus.

    Args:
        host: it.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name = host.name

    @property
    def gpu_names(self) -> tuple[str, ...]:
        """The cards as declared."""
        return self.host.spec.gpus

    def __len__(self) -> int:
        return len(self.gpu_names)

    def __getitem__(self, index: int) -> Card:  # type: ignore[override]
        return self._cards()[index]

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards())

    def conf(self) -> Conf:
        """The host's conf file.

        Raises:
            LabError: the host has no cards.
        """
        if not self.gpu_names:
            raise LabError(f"{self.host.name}: has no cards", "declare them: HostSpec(name, gpus=(...))")
        return Conf.parse(self.host.on_disk(["cat", self.host.path(gpuconf.PATH)]))

    def change(self, host: dict[str, str] | None = None, cards: dict[int, dict[str, str]] | None = None) -> None:
        """Keys of the conf file have these values: the host's, and those of cards by slot; seen at once by all."""
        edits = {"host": host or {}, "cards": {str(slot): keys for slot, keys in (cards or {}).items()}}
        program: list[str | Path] = [sys.executable, "-I", "-S", gpuconf.__file__, self.host.path(gpuconf.PATH)]
        self.host.on_disk(program, json.dumps(edits))

    def switch(self, name: str, card: int = 0, on: bool = True) -> None:
        """Something goes wrong, or is as before.

        Args:
            name: one of `switches.SWITCHES`.
            card: its index as delivered, where one card is meant.
            on: it goes wrong; else it is undone.

        Raises:
            LabError: no such switch or card, or the host is off.
        """
        if name not in SWITCHES:
            raise LabError(f"{self.name}: no such switch (got {name!r})", f"use one of {', '.join(SWITCHES)}")
        if not 0 <= card < len(self.gpu_names):
            raise LabError(f"{self.name}: no such card (got {card})", f"it was delivered with {len(self.gpu_names)}")
        what = SWITCHES[name]
        (what.on if on else what.off)(self, card)

    def run(self, command: str) -> str:
        """What a command on the host says."""
        return self.host.run(command).stdout

    def install(self, version: str) -> None:
        """A driver's files are on the disk in place of those there; what is loaded stays as it is."""
        tree = driver_tree(cache_dir(), quiet, version, delivered(self.host.spec)[1])
        # By the names of ours: libnvidia-container, for one, is another package's.
        stems = sorted({path.name.split(".so")[0] for path in (tree / LIBRARIES).iterdir()})
        old = " ".join(f'"$1"/{LIBRARIES}/{stem}.so*' for stem in stems)
        script = f'rm -f {old}; cp --archive --force "$2"/. "$1"'
        self.host.on_disk(["sh", "-c", script, "install", self.host.path("/"), tree])
        self.run("ldconfig; depmod 2>/dev/null; systemctl daemon-reload")

    def _cards(self) -> list[Card]:
        if not self.gpu_names:
            return []
        return [_card(index, keys) for index, keys in enumerate(self.conf().cards)]


def _card(index: int, keys: dict[str, str]) -> Card:
    memory_mib, slot = int(keys["memory_mib"]), int(keys["slot"])
    faults = tuple(
        name for name, sound in _SOUND.items() for key, value in sound.items() if keys.get(key, value) != value
    )
    return Card(index, keys["uuid"], keys["name"], keys["pci"], memory_mib, keys["compute"], slot, faults)
