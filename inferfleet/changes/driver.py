"""The NVIDIA driver: by default looked at, and a host whose driver cannot serve is refused with what to do about it."""

from collections.abc import Iterator
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines.nvidia_host import FLOORS, OLD_CARDS_FLOOR, NvidiaHost

# Codes of NVML (nvml.h 13).
_NOT_LOADED, _TIMEOUT, _NO_LIBRARY, _MISMATCH = 9, 10, 12, 18
_MANAGE = "or let `driver` manage it"


def driver(declared: NvidiaHost, state: dict[str, Any]) -> Changes:
    """The driver runs, is new enough for the declared engines, and has its NVSwitch fabric.

    Args:
        declared: the host's cards and what its driver must be.
        state: the answer of `inferfleet.probe`.
    """
    if not declared.cards:
        return Changes()
    reason = why_silent(declared, state) or why_unfit(declared, state)
    refused = (Effect("refuse", "this host", reason),) if reason else ()
    return Changes(refused, warnings=tuple(time_bombs(state)))


def why_silent(declared: NvidiaHost, state: dict[str, Any]) -> str:
    """Why the driver shows no card at all; empty where it shows one."""
    error, count = state["error"], len(declared.cards)
    if error is None and state["cards"]:
        return ""
    code = (error or {}).get("code")
    if code == _MISMATCH:
        loaded, library = state["driver"]["loaded"], state["driver"]["library"]
        versions = f" ({loaded} is loaded, {library} installed)" if loaded and library else ""
        return f"its driver was updated and the old one is still loaded{versions}; reboot the host"
    if code == _TIMEOUT:
        return "its driver does not answer within 60 s, as when a card is lost; reboot the host"
    if code in (None, _NOT_LOADED, _NO_LIBRARY):
        return _why_not_there(state, count)
    return f"its driver says {error['text']!r}; see `nvidia-smi` and `dmesg` on the host"


def _why_not_there(state: dict[str, Any], count: int) -> str:
    """Cards without a driver are told apart from no cards, where the host has a bus to look at."""
    system, on_bus = state["upkeep"], [device for device in state["pci"] or () if device["kind"] == "card"]
    if state["driver"]["library"] or state["driver"]["module"]:
        hints = {
            "nouveau holds the cards": state["driver"]["nouveau"],
            f"there are no headers of kernel {state['system']['kernel']} to build it with": not system["headers"],
            "Secure Boot takes signed modules alone": bool(system["secure_boot"]),
        }
        if state["driver"]["module"] and not state["driver"]["nouveau"]:
            hints.pop(next(hint for hint in hints if "headers" in hint))
        because = "".join(f", {hint}" for hint, holds in hints.items() if holds)
        return f"its driver is installed and not loaded{because}; reboot the host, or see `modprobe nvidia`"
    if on_bus:
        return f"{count} NVIDIA cards are declared and {len(on_bus)} there without a driver; install one, {_MANAGE}"
    if state["pci"] is None:
        return f"{count} NVIDIA cards are declared and no driver shows any; install one, {_MANAGE}"
    return f"{count} NVIDIA cards are declared and the host has neither a card nor a driver; correct the inventory"


def why_unfit(declared: NvidiaHost, state: dict[str, Any]) -> str:
    """Why the driver that runs cannot serve; empty where it can."""
    loaded = str(state["driver"]["loaded"] or "")
    branch = int(loaded.partition(".")[0]) if loaded.partition(".")[0].isdigit() else None
    for engine in declared.engines:
        name, floor = FLOORS.get(engine, (engine, 0))
        old = [card for card in state["cards"] if _is_old(card["compute"])]
        floor = max(floor, OLD_CARDS_FLOOR) if old else floor
        if branch is not None and branch < floor:
            return f"its driver is {loaded}, {name} needs {floor} or newer; update the driver"
    return _why_no_fabric(loaded, state)


def _is_old(compute: str | None) -> bool:
    """Maxwell and Pascal."""
    return compute is not None and (5, 0) <= tuple(map(int, compute.split("."))) <= (6, 2)


def _why_no_fabric(loaded: str, state: dict[str, Any]) -> str:
    """Cards behind NVSwitches compute only after Fabric Manager has joined them (CUDA error 802 until then).

    Its version must be the driver's (NVIDIA, Fabric Manager User Guide). On A100 the cards say nothing of it, so there
    the switches on the bus tell.
    """
    switches = [device for device in state["pci"] or () if device["kind"] == "switch"]
    joined = [(c["index"], c["fabric"]) for c in state["cards"] if c["fabric"]]
    waiting = [(index, f) for index, f in joined if (f["state"], f["status"]) != ("Completed", "Success")]
    manager = state["services"]["fabricmanager"]
    if not waiting and (joined or not switches or manager["active"]):
        return ""
    index, found = waiting[0] if waiting else (0, {"state": "not known", "status": None})
    said = found["state"] if found["state"] != "Completed" else f"{found['state']} with {found['status']}"
    wrong = f"card {index} has not joined its NVSwitch fabric ({said})"
    if not manager["there"]:
        return f"{wrong}; install nvidia-fabricmanager {loaded}"
    if manager["version"] and manager["version"] != loaded:
        return f"{wrong}: nvidia-fabricmanager is {manager['version']}, the driver {loaded}; install the same version"
    if not manager["active"]:
        return f"{wrong}; `systemctl enable --now nvidia-fabricmanager`"
    return f"{wrong}; see `journalctl -u nvidia-fabricmanager`"


def time_bombs(state: dict[str, Any]) -> Iterator[str]:
    """What works until somebody, or the host itself, updates or reboots it."""
    upkeep, found = state["upkeep"], state["driver"]
    loose = sorted(name for name, package in upkeep["packages"].items() if not package["held"])
    if upkeep["unattended"] and loose:
        yield (
            f"unattended-upgrades may replace the driver under the running engines; "
            f"`apt-mark hold` its {len(loose)} packages ({loose[0]}, ...), {_MANAGE}"
        )
    loaded = found["loaded"]
    for what in ("library", "module"):
        if loaded and found[what] and found[what] != loaded and state["error"] is None:
            yield f"the driver's {what} on disk is {found[what]}, {loaded} is loaded; reboot the host soon"
    if upkeep["reboot_required"]:
        yield "the host waits for a reboot (/run/reboot-required)"
