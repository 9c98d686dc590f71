"""One answer of all sections that `gather.sh` printed."""

import json
import re
from collections.abc import Iterable
from typing import Any

from inferfleet.probe import smi, system

_SECTION = re.compile(r"=== ([a-z-]+)")


def answer(lines: Iterable[str]) -> dict[str, Any]:
    """What the host said, as data; every key is there, None or empty where it could not say.

    Raises:
        ValueError: these are not the lines of `probe.command()`.
    """
    found = _split(lines)
    if "nvml" not in found:
        raise ValueError("the answer breaks off before the cards")
    asked, bus = _asked(found), system.pci(found)
    return {
        "root": "USER_ID=0" in found.get("system", "").splitlines(),
        "by": asked.pop("by"),
        "error": asked["error"],
        "cards": system.located([system.complete(card) for card in asked["cards"]], bus),
        "driver": system.driver(found, asked["driver"], asked["cuda"]),
        "pci": bus,
        "services": system.services(found),
        "xids": system.xids(found.get("xid", "")),
        "upkeep": system.upkeep(found),
        "system": system.distribution(found),
    }


def _split(lines: Iterable[str]) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if heading := _SECTION.fullmatch(line.rstrip()):
            current = sections.setdefault(heading[1], [])
        else:
            current.append(line)
    return {name: "\n".join(text).strip("\n") for name, text in sections.items()}


def _asked(found: dict[str, str]) -> dict[str, Any]:
    """What NVML said, else `nvidia-smi`; neither is there on a host without a driver."""
    if found["nvml"].strip():
        told: dict[str, Any] = json.loads(found["nvml"].strip().splitlines()[-1])
        return {**told, "by": "nvml"}
    if "smi-xml" in found:
        return {**smi.read(found), "by": "nvidia-smi"}
    missing = {"code": 12, "text": "neither NVML nor nvidia-smi is there"}
    return {"driver": None, "cuda": None, "cards": [], "error": missing, "by": None}
