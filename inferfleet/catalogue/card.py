"""What a card is, and the table of the usual ones."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

MIB = 2**20
GIB = 2**30

Version = tuple[int, int]

# Lowest compute capability of each generation, newest first
# (docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html).
_GENERATIONS: tuple[tuple[Version, str], ...] = (
    ((10, 0), "Blackwell"),
    ((9, 0), "Hopper"),
    ((8, 9), "Ada"),
    ((8, 0), "Ampere"),
    ((7, 5), "Turing"),
    ((7, 0), "Volta"),
    ((6, 0), "Pascal"),
    ((5, 0), "Maxwell"),
)
# What the driver keeps for itself, as a rule: MiB, and a share of the memory. From Turing on it runs the card by
# firmware (GSP), which lives in the card's memory. Each rule lies above all that cards.toml records for its
# generation, but for GH200 and for an A100 80GB with MIG on, and above what recorded totals of drivers before 510 lack
# (P40 128 MiB, P4 69, A30 318, Quadro RTX 8000 551). PyTorch's reports of exhausted memory give CUDA's total, 23.50 GiB
# of an A30 (LHRLAB/ChatKBQA#2) and 15.61 of an RTX A4000 (DengKaiCQ/VGGT-Long#6): the rules say 23.44 and 15.47.
# No such record was found of AMD's cards; they get the larger rule.
_RULES: dict[str, tuple[int, float]] = {"Maxwell": (64, 0.004), "Pascal": (64, 0.004), "Volta": (256, 0.0025)}
_RULE = (448, 0.005)
# A record by an older driver counts only where it lies above the rule: drivers of 570 and newer keep more than
# those before on the same card (L40S: 479 MiB by 550, 609 by 595; RTX 3080: 240 by 550, 397 by 595).
_NEW_DRIVER = 570
# An empty slice shows 12 to 26 MiB in use and nothing reserved (telegraf's a100-sxm4-v12.xml; H100 and H200 of
# nvidia_gpu_exporter e656cd81).
_SLICE_RESERVE = 32


@dataclass(frozen=True)
class Card:
    """A card, or a slice of one.

    Attributes:
        name: its usual name, such as `A30` or `A30 1g.6gb`.
        memory: bytes in all, as the driver reports them with ECC as the card leaves the factory.
        usable: bytes that an empty card leaves to processes, which is what CUDA calls the device's total.
        compute: compute capability; None where CUDA does not run.
        generation: `Ampere`, `RDNA 3`, ...
        vendor: `nvidia` or `amd`.
        other_memory: bytes in all with ECC the other way, where ECC takes memory.
        nvlink: whether it can have NVLink.
        mig: slices that it can be cut into: profile to how many at most.
        part_of: the card that it is a slice of.
        recorded: whether the driver's reserve was seen on such a card; else `usable` is its generation's rule alone.
    """

    name: str
    memory: int
    usable: int
    compute: Version | None
    generation: str
    vendor: str = "nvidia"
    other_memory: int | None = None
    nvlink: bool = False
    mig: tuple[tuple[str, int], ...] = ()
    part_of: str | None = None
    recorded: bool = False

    @property
    def ecc_takes_memory(self) -> bool:
        """Whether ECC is kept in the card's own memory, so that its total differs by it."""
        return self.other_memory is not None

    @property
    def last_cuda(self) -> Version | None:
        """The last line of CUDA that compiles for it; None while it goes on.

        Maxwell, Pascal and Volta end with CUDA 12.9 (the matrix named at `_GENERATIONS`).
        """
        return (12, 9) if self.compute is not None and self.compute < (7, 5) else None

    @property
    def last_driver(self) -> int | None:
        """The last branch of the driver that runs it; None while it goes on. R580 for Maxwell, Pascal and Volta."""
        return 580 if self.last_cuda else None


def version(text: str) -> Version:
    """`8.6` as (8, 6)."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _generation(compute: Version) -> str:
    return next(name for lowest, name in _GENERATIONS if compute >= lowest)


def _reserve(entry: dict[str, Any], generation: str) -> int:
    fixed, share = _RULES.get(generation, _RULE)
    rule = round(fixed + share * int(entry["mib"]))
    if "seen" not in entry:
        return rule
    recorded = int(entry["seen"]["mib"])
    return recorded if entry["seen"]["driver"] >= _NEW_DRIVER else max(recorded, rule)


def _whole(name: str, entry: dict[str, Any], slices: dict[str, Any]) -> Card:
    compute = version(entry["compute"]) if "compute" in entry else None
    generation = entry["generation"] if compute is None else _generation(compute)
    return Card(
        name=name,
        memory=entry["mib"] * MIB,
        usable=(entry["mib"] - _reserve(entry, generation)) * MIB,
        compute=compute,
        generation=generation,
        vendor=entry.get("vendor", "nvidia"),
        other_memory=entry["ecc_mib"] * MIB if "ecc_mib" in entry else None,
        nvlink=entry.get("nvlink", False),
        mig=tuple((profile, slice_["count"]) for profile, slice_ in slices.items()),
        recorded="seen" in entry,
    )


def _slice(card: Card, profile: str, entry: dict[str, Any]) -> Card:
    return Card(
        name=f"{card.name} {profile}",
        memory=entry["mib"] * MIB,
        usable=(entry["mib"] - _SLICE_RESERVE) * MIB,
        compute=card.compute,
        generation=card.generation,
        part_of=card.name,
        recorded=card.recorded,
    )


def _read() -> Iterator[tuple[Card, tuple[str, ...]]]:
    table = tomllib.loads((resources.files(__package__) / "cards.toml").read_text(encoding="utf-8"))
    for name, entry in table["cards"].items():
        slices = table["mig"].get(name, {})
        card = _whole(name, entry, slices)
        aliases = tuple(entry.get("names", ()))
        yield card, aliases
        for profile, slice_ in slices.items():
            yield _slice(card, profile, slice_), tuple(f"{alias} {profile}" for alias in aliases)


@cache
def table() -> dict[Card, tuple[str, ...]]:
    """Every card and slice, in the table's order, with its names besides the usual one."""
    return dict(_read())
