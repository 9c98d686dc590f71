"""Our table of the firewall, and the unit that keeps it loaded."""

from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.engines.docker_host import FIREWALL, FIREWALL_UNIT, NETWORK, Firewall

_UNIT_PATH = f"/etc/systemd/system/{FIREWALL_UNIT}"


def firewall(declared: Firewall, state: dict[str, Any]) -> Changes:
    """The table is loaded on a host without Docker; `state` is the answer of `remote/firewall_state.py`."""
    found = table(declared, state.get("firewall", {}))
    missing = not state.get("nft", False)
    install = (Effect("install", "nftables", "is missing"),) if missing else ()
    return Changes((*install, *found.effects), {"install": missing, "firewall": found.work}, found.files)


def table(declared: Firewall, found: dict[str, Any]) -> Changes:
    """Both files are as declared, the unit runs and is enabled, the table in the kernel is the declared one."""
    files = tuple(
        FileChange(path, found.get(part), text)
        for path, part, text in ((FIREWALL, "rules", declared.rules), (_UNIT_PATH, "unit", declared.unit))
        if found.get(part) != text
    )
    effects = [Effect("write", f.path, "is missing" if f.before is None else "is not as declared") for f in files]
    if found.get("table") != "right" and not (found.get("table") == "altered" and files):
        state = {"altered": "was altered"}.get(found.get("table", ""), "is missing")
        effects.append(Effect("repair", f"table inet {NETWORK}", state))
    if found.get("active") != "active":
        effects.append(Effect("start", FIREWALL_UNIT, f"is {found.get('active') or 'not there'}"))
    if found.get("enabled") != "enabled":
        effects.append(Effect("enable", FIREWALL_UNIT, "does not start at boot"))
    elif found.get("stale"):
        effects.append(Effect("repair", FIREWALL_UNIT, "systemd has not read its file since it changed"))
    texts = {FIREWALL: declared.rules, _UNIT_PATH: declared.unit}
    return Changes(tuple(effects), {"files": texts, "unit": FIREWALL_UNIT, "apply": bool(effects)}, files)
