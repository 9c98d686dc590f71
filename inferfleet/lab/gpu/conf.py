"""The cards that a host is declared with, as the first state of its conf file."""

import uuid
from collections.abc import Sequence
from typing import Final

from inferfleet.lab.gpu.catalogue import VENDOR, CardModel, card_model
from inferfleet.lab.gpu.double.gpuconf import Conf

# Buses as four cards have them in a two-socket server, and as eight and more do.
_FOUR: Final = (0x17, 0x31, 0xB1, 0xCA)
_MORE: Final = (0x17, 0x31, 0x4B, 0x65, 0x7F, 0x93, 0xA1, 0xB1, 0xBD, 0xCA, 0xCF, 0xD5, 0xDB, 0xE3, 0xEA, 0xF1)
MOST_CARDS: Final = len(_MORE)


def card_uuid(host: str, index: int, again: int = 0) -> str:
    """The UUID of a host's card: the same in every lab, so that an inventory can be written before the lab is up.

    Args:
        host: name of the host.
        index: of the card, as delivered.
        again: how often the card in this slot was swapped.
    """
    name = f"inferfleet-lab/{host}/{index}" + (f"/{again}" if again else "")
    return f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def declared(host: str, gpus: Sequence[str]) -> Conf:
    """The conf file of a host as delivered.

    Raises:
        LabError: a card is not known.
    """
    buses = _FOUR if len(gpus) <= len(_FOUR) else _MORE
    cards = [_card(host, index, card_model(name), buses[index]) for index, name in enumerate(gpus)]
    return Conf({"loaded": "", "fabric_state": "1"}, cards)


def _card(host: str, index: int, model: CardModel, bus: int) -> dict[str, str]:
    return {
        "slot": str(index),
        **identity(host, index),
        "name": model.name,
        "pci": f"00000000:{bus:02X}:00.0",
        "minor": str(index),
        "device_id": f"0x{model.device << 16 | VENDOR:08X}",
        "subsystem_id": f"0x{model.subsystem:08X}",
        "memory_mib": str(model.memory_mib),
        "compute": model.compute,
        "arch": str(model.arch),
        "brand": str(model.brand),
        "power_limit_w": str(model.power_limit_w),
        "nvlinks": str(model.nvlinks),
        "nvswitch": str(int(model.nvswitch)),
        "ecc": str(int(model.ecc)),
        "ecc_corrected": "0",
        "ecc_uncorrected": "0",
        "remap_pending": "0",
        "mig_slices": str(model.mig_slices),
        "mig": "",
        "lost": "0",
        "persistence": "0",
        "temperature": str(31 + index),
    }


def identity(host: str, index: int, again: int = 0) -> dict[str, str]:
    """What differs between two cards of a kind."""
    found = card_uuid(host, index, again)
    return {"uuid": found, "serial": str(1320000000000 + uuid.UUID(found.removeprefix("GPU-")).int % 10**9)}
