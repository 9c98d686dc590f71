"""Docker on a host: packages, daemon.json, the running daemon, our network, our table of the firewall.

`state` is the answer of `remote/docker_state.py`; `{}` is a host without python3, where everything is missing.
"""

import re
from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.changes.daemon_json import RELOADABLE, UNTOLD, Merged, alone, expected, merge, parse, pending, shown
from inferfleet.changes.docker_packages import packages
from inferfleet.changes.docker_refusals import full_disk, refusals
from inferfleet.changes.firewall import table
from inferfleet.engines import docker_host
from inferfleet.engines.docker_host import (
    BRIDGE,
    DAEMON_JSON,
    LABEL,
    NETWORK,
    DockerHost,
    Firewall,
)

# Clocks of files and processes differ a little: a daemon that started then has read its file.
_TOGETHER_S = 2.0


def docker(declared: DockerHost, firewall: Firewall, state: dict[str, Any]) -> Changes:
    """Docker is installed, held, and runs with what is declared; what it publishes is closed but for what is declared.

    A host with another Docker, or with what cannot be merged, is refused and left as it is.
    """
    if refused := refusals(declared, state):
        return Changes(tuple(Effect("refuse", "this host", why) for why in refused))
    found = parse(state.get("daemon", {}).get("text"))
    found = found if isinstance(found, dict) else {}
    merged = merge(found, declared.daemon, _notes(state))
    installs, rules = packages(declared, state), table(firewall, state.get("firewall", {}))
    daemon, action = _daemon(declared, merged, state, installs)
    network, how = _network(state)
    effects = (*installs.effects, *rules.effects, *daemon, *network)
    if effects and (full := full_disk(state)):
        return Changes((Effect("refuse", "this host", full),))
    text = state.get("daemon", {}).get("text")
    work = {
        **installs.work,
        "firewall": rules.work,
        "proxy": dict(declared.proxy),
        "daemon": {"path": DAEMON_JSON, "text": merged.text if merged.changed else None, "found": text},
        "record": _record(declared, merged, state),
        "action": action,
        "network": {"name": NETWORK, "how": how, "body": NETWORK_BODY},
        "needs": docker_host.CDI_SINCE if declared.needs_cdi else 0,
    }
    before, after = (alone(content, merged.changed) for content in (found, merged.content))
    files = [FileChange(DAEMON_JSON, before if text is not None else None, after)] if merged.changed else []
    return Changes(effects, work, (*installs.files, *rules.files, *files))


def _notes(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = state.get("record", {}).get("ours", {})
    return found


def _record(declared: DockerHost, merged: Merged, state: dict[str, Any]) -> dict[str, Any]:
    """Until all is in force, notes of what goes back are kept as well: so the next run ends what a killed one began.

    `expected` has of the lists only what is declared; where CDI was ours once, nothing is expected of it.
    """
    told = expected(merged, declared.daemon, {}, False)
    return {
        "path": docker_host.RECORD,
        "meanwhile": {**_notes(state), **merged.ours},
        "ours": merged.ours,
        "values": {key: merged.value(key) for key in UNTOLD},
        "expected": told,
    }


# --- the daemon -------------------------------------------------------------------------------------


def _daemon(
    declared: DockerHost, merged: Merged, state: dict[str, Any], installs: Changes
) -> tuple[list[Effect], str | None]:
    """Effects on the file and the daemon, and what is done to the daemon: reload, restart (or start), or nothing."""
    effects = []
    if merged.changed:
        told = ", ".join(f"{key} is {shown(merged.value(key))}" for key in merged.changed)
        effects.append(Effect("write", DAEMON_JSON, f"declared: {told}"))
    if declared.settings.package not in state.get("apt", {}).get("installed", {}):
        return effects, "restart"  # its installation starts it, and says so
    service = state["service"].get("docker.service", {})
    if service.get("LoadState") == "masked":
        effects.append(Effect("repair", "Docker", "is masked"))
    elif service.get("UnitFileState") != "enabled":
        effects.append(Effect("enable", "Docker", "does not start at boot"))
    if service.get("ActiveState") != "active":
        return [*effects, Effect("start", "Docker", f"is {service.get('ActiveState') or 'not there'}")], "restart"
    if error := state["docker"].get("error"):
        return [*effects, Effect("restart", "Docker", error, interrupts=True)], "restart"
    late = pending(merged, declared.daemon, _notes(state), state["docker"]["in_force"], _version(state) >= (28, 2))
    late |= _untold(merged, state)
    if cold := {key: why for key, why in late.items() if key not in RELOADABLE or merged.value(key) is None}:
        return [*effects, _restart(merged, state, "; ".join(cold.values()))], "restart"
    if late:
        return [*effects, Effect("repair", "Docker", f"{'; '.join(late.values())} (a reload is enough)")], "reload"
    return effects, None


def _restart(merged: Merged, state: dict[str, Any], why: str) -> Effect:
    """It says what becomes of the containers.

    Live-restore, where declared, is first switched on by a reload; it keeps other people's. The units of ours require
    Docker's, so systemd ends them with it and starts them again.
    """
    running, ours = state["docker"]["running"], state["docker"]["ours"]
    kept = running - ours if merged.value("live-restore") else 0
    if not running:
        return Effect("restart", "Docker", f"{why} (no container runs)")
    told = [f"ends {_counted(running - kept)}, {ours} of them ours"] if running > kept else []
    told += [f"{_counted(kept)} outlive{'s' if kept == 1 else ''} it: live-restore"] if kept else []
    return Effect("restart", "Docker", f"{why} ({'; '.join(told)})", interrupts=running > kept)


def _counted(count: int) -> str:
    return f"{count} running container{'s' if count > 1 else ''}"


def _untold(merged: Merged, state: dict[str, Any]) -> dict[str, str]:
    """The same for keys of which `/info` says nothing: the last run noted them, or the daemon is younger than the file.

    A person's change of the file after the last start of Docker, on a host that has been restarted since our last
    run, cannot be told from ours.
    """
    process, noted = state["process"] or {}, state["record"]["running"]
    if noted and noted["id"] == process.get("id"):
        there = noted["values"]
        late = {key: there.get(key) for key in UNTOLD if there.get(key) != merged.value(key)}
        return {key: f"{key} is {shown(value)}, declared is {shown(merged.value(key))}" for key, value in late.items()}
    written, started = state["daemon"]["written"], process.get("started", 0.0)
    if changed := [key for key in UNTOLD if key in merged.changed]:
        return {key: f"{key} is to be {shown(merged.value(key))}" for key in changed}
    if written is not None and written > started + _TOGETHER_S:
        return {"log-opts": "daemon.json was written after Docker started"}
    return {}


def _version(state: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", state["docker"].get("version", ""))[:2])


# --- network ----------------------------------------------------------------------------------------

_OPTIONS = {
    "com.docker.network.bridge.name": BRIDGE,
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
}
NETWORK_BODY: dict[str, Any] = {
    "Name": NETWORK,
    "Driver": "bridge",
    "CheckDuplicate": True,
    "Options": _OPTIONS,
    "Labels": {LABEL: ""},
}


def _network(state: dict[str, Any]) -> tuple[list[Effect], str | None]:
    """Effects, and whether it is made or made anew."""
    if "in_force" not in state.get("docker", {}):
        return [], "create"  # nobody knows; the script looks
    there = state["docker"]["network"]
    if not there:
        return [Effect("create", f"network {NETWORK}", "is missing")], "create"
    differ = [key for key, value in _OPTIONS.items() if there["options"].get(key) != value]
    if there["driver"] != "bridge" or differ:
        why = f"differs in {', '.join(key.rpartition('.')[2] for key in differ) or 'its driver'}"
        return [_anew(there, why)], "anew"
    return ([], "create") if state["bridge"] else ([_anew(there, f"its bridge {BRIDGE} is gone")], "anew")


def _anew(there: dict[str, Any], why: str) -> Effect:
    count = there["containers"]
    ends = f" (takes {count} containers off it)" if count else ""
    return Effect("repair", f"network {NETWORK}", f"{why}{ends}", interrupts=bool(count))
