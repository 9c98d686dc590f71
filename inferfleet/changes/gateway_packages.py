"""HAProxy's packages, and why a host is not touched."""

import re
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines.gateway_host import PACKAGES, SINCE, GatewayHost

_SINCE = ".".join(map(str, SINCE))
_TODO = "add a source that has it, such as the distribution's backports, or take Debian 13"


def refusals(declared: GatewayHost, state: dict[str, Any]) -> list[str]:
    """The reasons, one line each; none for a host that may be changed."""
    found = []
    there, offered = state.get("apt", {}).get("installed", {}).get("haproxy"), state.get("candidates", [])
    if there and _version(there) < SINCE:
        found.append(
            f"HAProxy {_short(there)} is installed there, the gateway needs {_SINCE}; "
            "it is not upgraded by surprise: upgrade it, or take another host"
        )
    elif not there and offered and all(_version(version) < SINCE for version in offered):
        found.append(f"the gateway needs HAProxy {_SINCE}, its sources have {_short(offered[0])}; {_TODO}")
    for one in state.get("strangers", []):
        found.append(
            f"port {one['port']} is taken there by {one['program']}; stop it, or give the gateway another port"
        )
    return found


def brought(state: dict[str, Any]) -> Changes:
    """The packages are there, at whatever version of at least `SINCE` they were installed, and HAProxy is held."""
    apt = state.get("apt", {"installed": {}, "held": []})
    missing = [name for name in PACKAGES if name not in apt["installed"]]
    effects = [Effect("install", name, "is missing") for name in missing]
    held = "haproxy" in apt["held"]
    if not held and "haproxy" not in missing:
        effects.append(Effect("repair", "haproxy", "is not held, an upgrade would take it along"))
    work = {"install": missing, "hold": [] if held else ["haproxy"], "since": list(SINCE)}
    return Changes(tuple(effects), work)


def _version(full: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", _short(full))[:2])


def _short(full: str) -> str:
    """`3.0.11` of `3.0.11-1+deb13u5`."""
    return re.sub(r"^\d+:", "", full).split("-")[0].split("~")[0]
