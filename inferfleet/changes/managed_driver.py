"""The NVIDIA driver where it is ours: NVIDIA's packages of one branch, held, with the modules that the cards need.

Names of packages and repositories: NVIDIA, "Driver Installation Guide" (r580), Debian and Ubuntu: `cuda-drivers` and
`nvidia-open` bring the driver with the proprietary or the open modules; `nvidia-driver-pinning-<branch>`, installed
first, keeps them at a branch (from 590 on the names themselves have no branch any more).
"""

import re
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.changes.driver import time_bombs, why_silent, why_unfit
from inferfleet.engines import nvidia_cards
from inferfleet.engines.nvidia_host import FLOORS, NvidiaHost

KEYRING = "/usr/share/keyrings/inferfleet-nvidia.gpg"
SOURCE_FILE = "/etc/apt/sources.list.d/inferfleet-nvidia.sources"
BLACKLIST = "/etc/modprobe.d/inferfleet-nouveau.conf"
BLACKLIST_TEXT = "# Managed by inferfleet\nblacklist nouveau\noptions nouveau modeset=0\n"
# Distribution and version -> folder of NVIDIA's repositories, key that signs there.
_KEY, _KEY_TRIXIE = "EB693B3035CD5710E231E123A4B469963BF863CC", "02182E60104FCDC26EAE1B8597A5D4CB8793F200"
REPOSITORIES = {
    ("debian", "12"): ("debian12", _KEY),
    ("debian", "13"): ("debian13", _KEY_TRIXIE),
    ("ubuntu", "22.04"): ("ubuntu2204", _KEY),
    ("ubuntu", "24.04"): ("ubuntu2404", _KEY),
}
_MACHINES = {"x86_64": "x86_64", "aarch64": "sbsa"}
META = {"open": "nvidia-open", "proprietary": "cuda-drivers"}
# Packages that bring the other modules: NVIDIA's own, Debian's (`nvidia-kernel-dkms`) and Ubuntu's (`nvidia-dkms-580`).
_OTHERS = {
    "nvidia-open": re.compile(r"cuda-drivers(-\d+)?|nvidia-kernel-dkms|nvidia-dkms-\d+(-server)?"),
    "cuda-drivers": re.compile(r"nvidia-open(-\d+)?|nvidia-kernel-open-dkms|nvidia-dkms-(\d+-)?(server-)?open"),
}
_FABRIC = "nvidia-fabricmanager"
_LEAVE = "or set driver: {'manage': False}"


def source_of(declared: NvidiaHost, state: dict[str, Any]) -> dict[str, Any] | None:
    """The apt source for this host as `remote/apt_source.py` takes it; None where NVIDIA has no packages for it."""
    found = REPOSITORIES.get((state["system"]["id"], state["system"]["version"]))
    machine = _MACHINES.get(state["system"]["machine"])
    if found is None or machine is None:
        return None
    folder, own = found
    key = declared.fingerprint or own
    base = f"{declared.source}/{folder}/{machine}"
    # NVIDIA names a key's file after its last eight digits, the older one in small letters.
    name = key[-8:].lower() if key == _KEY else key[-8:]
    return {
        "key_url": f"{base}/{name}.pub",
        "fingerprints": [key],
        "keyring": KEYRING,
        "path": SOURCE_FILE,
        "text": f"# Managed by inferfleet\nTypes: deb\nURIs: {base}\nSuites: /\nSigned-By: {KEYRING}\n",
    }


def managed_driver(declared: NvidiaHost, state: dict[str, Any], apt: dict[str, Any]) -> Changes:
    """The driver's packages are there, of the declared branch and held, its module is loaded, and it can serve.

    Args:
        declared: the host's cards and what its driver must be.
        state: the answer of `inferfleet.probe`.
        apt: what the host has of `source_of`: its text and the fingerprints of its key.
    """
    cards = nvidia_cards.of_host([gpu.model for gpu in declared.cards], state["pci"])
    modules, clash = nvidia_cards.modules_for(cards, declared.modules)
    reason = clash and f"{clash}; take that card out, or drive it on a host of its own"
    if reason := reason or _why_not(declared, state, cards):
        return Changes((Effect("refuse", "this host", reason),))
    packages = _packages(declared, state, META[modules or "open"])
    effects = [*_source(declared, state, apt), *packages, *_after(state, packages)]
    if effects:
        work = _work(declared, state, META[modules or "open"], bool(packages))
        return Changes(tuple(effects), work, warnings=tuple(_secure_boot(state)))
    if reason := why_silent(declared, state) or why_unfit(declared, state):
        return Changes((Effect("refuse", "this host", reason),))
    return Changes(warnings=tuple(time_bombs(state)))


def _why_not(declared: NvidiaHost, state: dict[str, Any], cards: dict[str, nvidia_cards.Generation]) -> str:
    """Why the driver cannot be installed here at all; empty where it can."""
    branch, system, found = declared.branch or "", state["system"], state["driver"]
    if state["pci"] == [] and not state["cards"]:
        return why_silent(declared, state)
    if source_of(declared, state) is None:
        host = " ".join(word for word in (system["id"], system["version"], "on", system["machine"]) if word)
        return f"NVIDIA has no driver packages for {host} that are known here; install the driver by hand, {_LEAVE}"
    if wrong := nvidia_cards.why_no_branch(cards, branch):
        return f"{wrong}; declare another branch"
    for engine in declared.engines:
        name, floor = FLOORS.get(engine, (engine, 0))
        if int(branch) < floor:
            return f"driver branch {branch} is declared, {name} needs {floor} or newer"
    if found["library"] and not state["upkeep"]["packages"]:
        return (
            f"its driver {found['library']} came by no package (NVIDIA's .run file?); "
            f"remove it with `nvidia-uninstall`, {_LEAVE}"
        )
    if (state["error"] or {}).get("code") == 10:
        return why_silent(declared, state)
    return ""


def _source(declared: NvidiaHost, state: dict[str, Any], apt: dict[str, Any]) -> list[Effect]:
    source = source_of(declared, state) or {}
    if conflicts := apt.get("conflicts"):
        why = "names NVIDIA's repository with another key; it is kept as {}.disabled"
        return [Effect("remove", path, why.format(path)) for path in conflicts]
    if apt.get("text") != source.get("text"):
        why = "is missing" if apt.get("text") is None else "differs from what is declared"
        return [Effect("write", SOURCE_FILE, why)]
    if apt.get("key") != source.get("fingerprints"):
        return [Effect("repair", KEYRING, "holds another key than the declared one")]
    return []


def _wanted(declared: NvidiaHost, state: dict[str, Any], meta: str) -> list[str]:
    """The packages in the order in which they must come."""
    return [f"nvidia-driver-pinning-{declared.branch}", meta, *([_FABRIC] if _switches(state) else [])]


def _switches(state: dict[str, Any]) -> bool:
    """Whether the cards are behind NVSwitches."""
    return any(device["kind"] == "switch" for device in state["pci"] or ())


def _packages(declared: NvidiaHost, state: dict[str, Any], meta: str) -> list[Effect]:
    there, effects = state["upkeep"]["packages"], []
    for name in _wanted(declared, state, meta):
        got = next((there[n] for n in (name, f"{name}-{declared.branch}") if n in there), None)
        version = re.sub(r"^\d+:", "", got["version"]) if got else ""
        if got is None:
            effects.append(Effect("install", name, "is missing"))
        elif not name.startswith("nvidia-driver-pinning") and not version.startswith(f"{declared.branch}."):
            effects.append(Effect("install", name, f"is {version}, declared is branch {declared.branch}"))
    effects += [Effect("remove", name, f"brings other kernel modules than {meta}") for name in _gone(state, meta)]
    built = state["driver"]["module"] and not effects
    if not built and not state["upkeep"]["headers"]:
        kernel = state["system"]["kernel"]
        effects.append(Effect("install", f"linux-headers-{kernel}", "the module is built for the running kernel"))
    return effects


def _gone(state: dict[str, Any], meta: str) -> list[str]:
    """Packages that go when these modules come; apt would remove nothing that it was not told of."""
    return [name for name in state["upkeep"]["packages"] if _OTHERS[meta].fullmatch(name)]


def _after(state: dict[str, Any], packages: list[Effect]) -> list[Effect]:
    """What comes with the packages, or is missing when they are there."""
    loose = [name for name, package in state["upkeep"]["packages"].items() if not package["held"]]
    loaded, effects = state["driver"]["loaded"], []
    if loose and not packages:
        effects.append(Effect("repair", "holds", f"{len(loose)} packages of the driver are not held, {loose[0]} first"))
    if packages and (loaded or state["driver"]["nouveau"]):
        until = f"{loaded} stays loaded until then, and what is started anew finds no card"
        until = until if loaded else "nouveau holds the cards until then"
        effects.append(Effect("await", "a reboot", until))
    if not packages and (state["error"] or {}).get("code") == 9 and not state["driver"]["nouveau"]:
        effects.append(Effect("load", "the NVIDIA driver", "is installed and not in the kernel"))
    if not packages and state["error"] is None:
        needed = ["persistenced", *(["fabricmanager"] if _switches(state) else [])]
        stopped = [
            name for name in needed if state["services"][name]["there"] and not state["services"][name]["active"]
        ]
        effects += [Effect("enable", f"nvidia-{name}", "is stopped") for name in stopped]
    return effects


def _secure_boot(state: dict[str, Any]) -> list[str]:
    if not state["upkeep"]["secure_boot"]:
        return []
    return ["Secure Boot is on: the module that is built here loads after its key was enrolled (`mokutil --import`)"]


def _work(declared: NvidiaHost, state: dict[str, Any], meta: str, installs: bool) -> dict[str, Any]:
    pinning, *rest = _wanted(declared, state, meta)
    there = state["upkeep"]["packages"]
    return {
        "proxy": dict(declared.proxy),
        "source": source_of(declared, state),
        "branch": declared.branch,
        "pinning": pinning,
        "other_pinning": [name for name in there if name.startswith("nvidia-driver-pinning-") and name != pinning],
        "packages": rest if installs else [],
        "headers": f"linux-headers-{state['system']['kernel']}" if not state["upkeep"]["headers"] else None,
        "remove": _gone(state, meta),
        "blacklist": [BLACKLIST, BLACKLIST_TEXT],
        "services": [name for name in ("nvidia-persistenced", _FABRIC) if name in rest or name != _FABRIC],
    }
