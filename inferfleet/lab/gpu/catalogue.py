"""Cards as their drivers show them: names, memory, identities.

Memory is what `nvidia-smi` shows in MiB; PCI ids are those of `pci.ids`; compute capabilities those of NVIDIA's list.
A declared name such as `A30` is looked up without `NVIDIA`, `Tesla` or `GeForce`, in any case.
"""

from dataclasses import dataclass
from typing import Final

from inferfleet.errors import LabError

VENDOR: Final = 0x10DE
PASCAL, VOLTA, TURING, AMPERE, ADA, HOPPER, BLACKWELL = 4, 5, 6, 7, 8, 9, 10  # NVML_DEVICE_ARCH_*
_TESLA, _GEFORCE, _NVIDIA = 2, 5, 14  # NVML_BRAND_*


@dataclass(frozen=True)
class CardModel:
    """One kind of card.

    Args:
        name: as the driver says it.
        memory_mib: in all.
        compute: CUDA compute capability.
        arch: NVML_DEVICE_ARCH_*.
        device: PCI device id.
        subsystem: PCI subsystem id, with its vendor.
        power_limit_w: as delivered.
        nvlinks: how many links are active.
        nvswitch: they lead to switches, so a Fabric Manager is needed.
        ecc: the memory has it, switched on.
        mig_slices: into how many it can be divided; 0: not at all.
        mig: profiles of the two instances that the switch `mig` makes.
    """

    name: str
    memory_mib: int
    compute: str
    arch: int
    device: int
    subsystem: int
    power_limit_w: int
    nvlinks: int = 0
    nvswitch: bool = False
    ecc: bool = True
    mig_slices: int = 0
    mig: str = ""

    @property
    def brand(self) -> int:
        """NVML_BRAND_*."""
        return _GEFORCE if "GeForce" in self.name else _TESLA if "Tesla" in self.name else _NVIDIA


MODELS: Final[dict[str, CardModel]] = {
    "A30": CardModel("NVIDIA A30", 24576, "8.0", AMPERE, 0x20B7, 0x153210DE, 165, mig_slices=4, mig="2g.12gb 2g.12gb"),
    "A100": CardModel(
        *("NVIDIA A100-SXM4-80GB", 81920, "8.0", AMPERE, 0x20B2, 0x147F10DE, 400, 12, True),
        mig_slices=7,
        mig="3g.40gb 3g.40gb",
    ),
    "H100": CardModel(
        *("NVIDIA H100 80GB HBM3", 81559, "9.0", HOPPER, 0x2330, 0x16C110DE, 700, 18, True),
        mig_slices=7,
        mig="3g.40gb 3g.40gb",
    ),
    "B200": CardModel(
        *("NVIDIA B200", 183359, "10.0", BLACKWELL, 0x2901, 0x199910DE, 1000, 18, True),
        mig_slices=7,
        mig="3g.90gb 3g.90gb",
    ),
    "L40S": CardModel("NVIDIA L40S", 46068, "8.9", ADA, 0x26B9, 0x185110DE, 350),
    "RTX 4090": CardModel("NVIDIA GeForce RTX 4090", 24564, "8.9", ADA, 0x2684, 0x165B1462, 450, ecc=False),
    "RTX 3090": CardModel("NVIDIA GeForce RTX 3090", 24576, "8.6", AMPERE, 0x2204, 0x146710DE, 350, ecc=False),
    "T4": CardModel("Tesla T4", 15360, "7.5", TURING, 0x1EB8, 0x12A210DE, 70),
    "V100": CardModel("Tesla V100-SXM2-32GB", 32768, "7.0", VOLTA, 0x1DB5, 0x124910DE, 300, 6),
    "P40": CardModel("Tesla P40", 23040, "6.1", PASCAL, 0x1B38, 0x11D910DE, 250),
}
"""By the names that people write into an inventory."""


def card_model(name: str) -> CardModel:
    """The kind of card that a declared name means.

    Raises:
        LabError: it is not known.
    """
    words = [word for word in name.split() if word.lower() not in ("nvidia", "tesla", "geforce")]
    found = {known.lower(): model for known, model in MODELS.items()}.get(" ".join(words).lower())
    if found is None:
        raise LabError(f"card: not one that the lab knows (got {name!r})", f"use one of {', '.join(MODELS)}")
    return found
