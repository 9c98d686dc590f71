"""What a generation of NVIDIA cards needs of its driver.

Sources: NVIDIA, "Driver Installation Guide" (open modules: Turing and newer; none but open ones on Blackwell and Grace
Hopper); the release notes of R580, the last branch for Maxwell, Pascal and Volta; pci.ids for the device numbers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Modules = Literal["open", "proprietary"]


@dataclass(frozen=True)
class Generation:
    """A generation of cards.

    Attributes:
        name: as NVIDIA calls it.
        modules: the kernel modules that drive it.
        first: the oldest driver branch that knows it.
        last: the newest one, None while it is still supported.
    """

    name: str
    modules: tuple[Modules, ...]
    first: int
    last: int | None = None


_BOTH: tuple[Modules, ...] = ("open", "proprietary")
KEPLER = Generation("Kepler", ("proprietary",), 390, 470)
MAXWELL = Generation("Maxwell", ("proprietary",), 390, 580)
PASCAL = Generation("Pascal", ("proprietary",), 390, 580)
VOLTA = Generation("Volta", ("proprietary",), 390, 580)
TURING = Generation("Turing", _BOTH, 418)
AMPERE = Generation("Ampere", _BOTH, 450)
ADA = Generation("Ada", _BOTH, 520)
HOPPER = Generation("Hopper", _BOTH, 525)
GRACE_HOPPER = Generation("Grace Hopper", ("open",), 535)
BLACKWELL = Generation("Blackwell", ("open",), 570)

# First PCI device number of each range; what lies below the first is Kepler or older.
_RANGES = (
    (0x0000, KEPLER), (0x1340, MAXWELL), (0x15F0, PASCAL), (0x1600, MAXWELL), (0x1800, PASCAL), (0x1D80, VOLTA),
    (0x1E00, TURING), (0x2080, AMPERE), (0x2180, TURING), (0x2200, AMPERE), (0x2300, HOPPER), (0x2342, GRACE_HOPPER),
    (0x234A, HOPPER), (0x2600, ADA), (0x2900, BLACKWELL),
)  # fmt: skip
# Names as an inventory writes them, for a host whose bus cannot be looked at.
_NAMES = (
    (r".* Ada|L4|L40S?|L2|L20|RTX 40\d\d", ADA), (r"GH200", GRACE_HOPPER), (r"H100|H200|H800|H20", HOPPER),
    (r"GB\d+|B[1-3]00|RTX 50\d\d|RTX PRO", BLACKWELL),
    (r"A2|A10G?|A16|A30X?|A40|A100X?|A800|A[2456]000|RTX 30\d\d|RTX A\d000", AMPERE),
    (r"T4|T4G|T\d{3,4}|RTX 20\d\d|GTX 16\d\d|RTX [3-8]000", TURING), (r"V100\w*|TITAN V|GV100", VOLTA),
    (r"P4|P6|P40|P100|P\d000|GTX 10\d\d", PASCAL), (r"M4|M10|M40|M60|GTX 9\d\d", MAXWELL), (r"K\d\d", KEPLER),
)  # fmt: skip


def of_device(device: str) -> Generation:
    """The generation of a PCI device number, such as `20b7`."""
    number = int(device, 16)
    return next(generation for first, generation in reversed(_RANGES) if number >= first)


def of_name(model: str) -> Generation | None:
    """The generation of a card by its usual name; None for a name that is not known."""
    words = re.sub(r"^((NVIDIA|Tesla|GeForce|Quadro)\s+)*", "", re.sub(r"[-_]", " ", model), flags=re.IGNORECASE)
    matches = (g for pattern, g in _NAMES if re.fullmatch(rf"(?:{pattern})(?: .*)?", words, re.IGNORECASE))
    return next(matches, None)


def of_host(models: Iterable[str], pci: list[dict[str, Any]] | None) -> dict[str, Generation]:
    """The generations of a host's cards, each under the name to speak of it; by the bus where it can be looked at."""
    if on_bus := [device for device in pci or () if device["kind"] == "card"]:
        found = {f"the card at {device['slot']}": of_device(device["device"]) for device in on_bus}
    else:
        found = {f"the {model}": generation for model in models if (generation := of_name(model))}
    return found


def modules_for(cards: dict[str, Generation], wanted: Modules | None) -> tuple[Modules | None, str]:
    """The kernel modules that drive all of these cards, or why there are none.

    Args:
        cards: name -> generation.
        wanted: what is declared; None for what fits, open ones where both do.

    Returns:
        The modules and an empty text; or None and what is wrong.
    """
    for name, generation in cards.items():
        if wanted and wanted not in generation.modules:
            return (
                None,
                f"{name} is {generation.name}, which needs {generation.modules[0]} kernel modules, not {wanted}",
            )
    fitting = [m for m in _BOTH if all(m in generation.modules for generation in cards.values())]
    if not fitting:
        first, other = _clash(cards)
        return None, f"{first} and {other}, which no kernel module drives together"
    return wanted or fitting[0], ""


def _clash(cards: dict[str, Generation]) -> tuple[str, str]:
    """One card that needs the proprietary modules, and one that needs the open ones."""
    old = next((n, g) for n, g in cards.items() if "open" not in g.modules)
    new = next((n, g) for n, g in cards.items() if "proprietary" not in g.modules)
    return f"{old[0]} is {old[1].name}", f"{new[0]} is {new[1].name}"


def why_no_branch(cards: dict[str, Generation], branch: str) -> str:
    """Why a driver branch cannot serve these cards; empty where it can."""
    for name, generation in cards.items():
        if generation.last is not None and int(branch) > generation.last:
            return f"{name} is {generation.name}, whose last driver branch is {generation.last}, not {branch}"
        if int(branch) < generation.first:
            return f"{name} is {generation.name}, whose first driver branch is {generation.first}, not {branch}"
    return ""
