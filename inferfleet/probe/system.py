"""The sections about the host itself: driver on disk and in the kernel, packages, units, kernel log, upkeep."""

import re
from typing import Any

_VERSION = re.compile(r"\d{3}\.\d+(\.\d+)?")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<pci>[0-9a-fA-F:.]+)\): (?P<xid>\d+)(?:, (?P<text>.*))?")
_NOT_DRIVER = re.compile(r"nvidia-container|libnvidia-container|nvidia-docker|nvidia-cuda|nvidia-ctk")
_NOTHING = {"corrected": None, "uncorrected": None}
_CARD: dict[str, Any] = {
    "uuid": None, "name": None, "serial": None, "minor": None, "pci": None, "compute": None, "architecture": None,
    "memory_mib": None, "used_mib": None, "ecc": {"mode": None, "volatile": _NOTHING, "aggregate": _NOTHING},
    "pending": {"retire": None, "remap": None, "failed": None}, "mig": {"mode": None, "pending": None, "devices": []},
    "fabric": None, "nvlinks": None, "processes": [], "persistence": None, "compute_mode": None, "error": None,
}  # fmt: skip


def complete(card: dict[str, Any]) -> dict[str, Any]:
    """A card with every key, its PCI address as the kernel writes it: `0000:17:00.0`."""
    found = {**_CARD, **card}
    return {**found, "pci": address(found["pci"])}


def located(cards: list[dict[str, Any]], bus: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The cards, one that no longer says where it is with the place that the bus has left for it.

    NVML counts cards in the order of the bus (nvml.h 13, nvmlDeviceGetHandleByIndex).
    """
    slots = sorted(device["slot"] for device in bus or () if device["kind"] == "card")
    known = {card["pci"] for card in cards}
    if len(slots) != len(cards):
        return cards
    by_order = [slot if slot not in known else None for slot in slots]
    return [card if card["pci"] else {**card, "pci": slot} for card, slot in zip(cards, by_order, strict=True)]


def address(pci: str | None) -> str | None:
    """NVML's `00000000:17:00.0` and the log's `PCI:0000:17:00` as the kernel writes them."""
    found = re.fullmatch(r"0*([0-9a-fA-F]{4}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.(\d))?", pci or "")
    return f"{found[1]}:{found[2]}:{found[3]}.{found[4] or 0}".lower() if found else pci


def driver(found: dict[str, str], loaded: str | None, cuda: str | None) -> dict[str, Any]:
    """The driver's versions, as far as they are known.

    `loaded` is that of the running kernel module, `module` that of its file on disk, `library` that of NVML's file.
    """
    in_kernel = _version(found.get("loaded", "")) or _version(found.get("module", ""))
    licence = found.get("license", "")
    open_loaded = "Open Kernel Module" in found.get("loaded", "")
    return {
        "loaded": in_kernel or loaded,
        "library": _version(found.get("library", "").rpartition("libnvidia-ml.so.")[2]),
        "module": _version(found.get("file", "")),
        "cuda": cuda,
        "flavour": ("open" if open_loaded or "GPL" in licence else "proprietary") if in_kernel or licence else None,
        "nouveau": "NOUVEAU=yes" in found.get("system", ""),
    }


def _version(text: str) -> str | None:
    version = _VERSION.search(text)
    return version[0] if version else None


def pci(found: dict[str, str]) -> list[dict[str, Any]] | None:
    """NVIDIA's devices on the bus: cards (class 03) and NVSwitches (bridges); None where there is no bus to look at."""
    if "PCI=yes" not in found.get("system", ""):
        return None
    rows = [line.split() for line in found.get("pci", "").splitlines()]
    kinds = {"0x03": "card", "0x06": "switch"}
    return [
        {"slot": row[0], "device": row[1][2:], "kind": kinds[row[2][:4]], "driver": row[3] if len(row) > 3 else None}
        for row in rows
        if len(row) > 2 and row[2][:4] in kinds
    ]


def services(found: dict[str, str]) -> dict[str, Any]:
    """NVIDIA's daemons: what systemd says of each, and the version of its package.

    The programs themselves are not asked: one that does not know `--version` would start.
    """
    answer = {}
    blocks = [dict(line.split("=", 1) for line in b.splitlines()) for b in found.get("units", "").split("\n\n") if b]
    for name in ("persistenced", "fabricmanager"):
        block = next((b for b in blocks if b.get("Id") == f"nvidia-{name}.service"), {})
        answer[name] = {
            "there": block.get("LoadState", "not-found") not in ("not-found", ""),
            "active": block.get("ActiveState") == "active",
            "version": next((_version(row[2]) for row in _packages(found) if f"nvidia-{name}" in row[1]), None),
        }
    return answer


def xids(text: str) -> list[dict[str, Any]]:
    """Errors of cards in the kernel's log since the host started, each kind once for each card, the first of it."""
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    for line in _XID.finditer(text):
        pci, xid = address(line["pci"]) or line["pci"], int(line["xid"])
        entry = seen.setdefault((pci, xid), {"pci": pci, "xid": xid, "text": (line["text"] or "").strip(), "times": 0})
        entry["times"] += 1
    return list(seen.values())


def upkeep(found: dict[str, str]) -> dict[str, Any]:
    """What becomes of the driver's packages when nobody looks, and what waits for a reboot."""
    there = {name: (state, version) for state, name, version in _packages(found)}
    system = found.get("system", "")
    unattended = re.search(r"^UNATTENDED='?(\d+)", system, re.MULTILINE)
    return {
        "packages": {
            name: {"version": version, "held": state[0] == "h"}
            for name, (state, version) in there.items()
            if "nvidia" in f"{name}".replace("cuda-drivers", "nvidia") and not _NOT_DRIVER.search(name)
        },
        "headers": "HEADERS=yes" in system,
        "unattended": "unattended-upgrades" in there and bool(unattended and unattended[1] != "0"),
        "reboot_required": "REBOOT_REQUIRED=yes" in system,
        "secure_boot": _secure_boot(system),
    }


def _packages(found: dict[str, str]) -> list[list[str]]:
    """State, name and version of each package that is installed."""
    rows = [line.split("|") for line in found.get("packages", "").splitlines() if line.count("|") == 2]
    return [row for row in rows if row[0][1:2] == "i"]


def _secure_boot(system: str) -> bool | None:
    """None where the host did not start by UEFI."""
    found = re.search(r"^SECURE_BOOT=\s*(\d+)", system, re.MULTILINE)
    return None if found is None else found[1] == "1"


def distribution(found: dict[str, str]) -> dict[str, str]:
    """Distribution, its version and code name, kernel and machine, as /etc/os-release and uname write them."""
    words = dict(line.split("=", 1) for line in found.get("system", "").splitlines() if "=" in line)
    names = {"id": "ID", "version": "VERSION_ID", "codename": "VERSION_CODENAME", "kernel": "KERNEL"}
    return {key: words.get(name, "").strip("\"'") for key, name in {**names, "machine": "MACHINE"}.items()}
