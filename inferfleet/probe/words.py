"""How NVIDIA's tools say that a driver or a card does not answer."""

import re
from typing import Any

# Words of `nvidia-smi` (550 to 580) -> the NVML code of the same error (nvml.h 13).
CODES = {
    "Driver/library version mismatch": 18,
    "couldn't communicate with the NVIDIA driver": 9,
    "Driver Not Loaded": 9,
    "couldn't find libnvidia-ml.so": 12,
    "GPU is lost": 15,
}
_LOST = re.compile(
    r"Unable to determine the device handle for GPU\s*"
    r"(?P<index>\d{1,2}(?=: ))?:?\s*(?P<pci>[0-9a-f:.]+): (?P<why>[^\n]+)",
    re.IGNORECASE,
)


def lost_cards(text: str) -> list[dict[str, Any]]:
    """Cards of which `nvidia-smi` says that it gets no handle: index (newer drivers), PCI address, error."""
    found = []
    for line in _LOST.finditer(text):
        why = line["why"].split(".")[0].strip()
        code = 15 if "lost" in why or "Unknown Error" in why else 999
        index = int(line["index"]) if line["index"] else None
        found.append({"index": index, "pci": line["pci"], "error": {"code": code, "text": why}})
    return found
