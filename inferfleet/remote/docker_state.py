"""Answer, as one line of JSON, everything that decides whether this host's Docker is as declared.

Asked with {"packages", "source", "daemon", "record", "network", "bridge", "label", "firewall"}; alters nothing.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import sys
import time
from typing import Any

from inferfleet.remote.apt_state import apt_state, filled, release, text_of
from inferfleet.remote.docker_api import Docker, DockerError
from inferfleet.remote.docker_info import in_force
from inferfleet.remote.firewall_look import firewall, systemctl_show

UNITS = ("docker.service", "docker.socket")
SHOWN = "Id,LoadState,ActiveState,UnitFileState,MainPID"


def daemon_process(pid: str) -> dict[str, Any] | None:
    """The daemon's flags, when it started, and what tells it from any other; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            words = file.read().split("\0")
        with open("/proc/uptime", encoding="utf-8") as file:
            uptime = float(file.read().split()[0])
    except (OSError, ValueError):
        return None
    boot = (text_of("/proc/sys/kernel/random/boot_id") or "").strip()
    flags = [word.split("=", 1)[0].lstrip("-") for word in words if word.startswith("--")]
    return {"id": f"{boot} {ticks}", "started": time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK"), "flags": flags}


def daemon_file(path: str) -> dict[str, Any]:
    """Its text, None where there is none, and when it was last written."""
    text = text_of(path)
    return {"text": text, "written": os.stat(path).st_mtime if text is not None else None}


def read_record(path: str) -> dict[str, Any]:
    """What earlier runs wrote down, without what has not its form."""
    try:
        found = json.loads(text_of(path) or "null")
    except ValueError:
        found = None
    found = found if isinstance(found, dict) else {}
    ours, running = (value if isinstance(value, dict) else {} for value in map(found.get, ("ours", "running")))
    whole = {key: note for key, note in ours.items() if isinstance(note, dict) and {"before", "set"} <= note.keys()}
    return {"ours": whole, "running": running if {"id", "values"} <= running.keys() else {}}


def rootless() -> list[str]:
    """Users with a Docker of their own."""
    found = {os.stat(path).st_uid for path in glob.glob("/run/user/*/docker.sock")}
    names = [user.pw_name for user in pwd.getpwall() if user.pw_uid in found]
    units = [user for user in pwd.getpwall() if user.pw_uid and user.pw_dir.startswith("/")]
    names += [u.pw_name for u in units if os.path.exists(f"{u.pw_dir}/.config/systemd/user/docker.service")]
    return sorted(set(names))


def docker_answers(ask: dict[str, Any]) -> dict[str, Any]:
    """What the running daemon says of itself; only `error` where it does not answer."""
    docker = Docker(timeout=15)
    try:
        info, version = docker.ask("/info"), docker.ask("/version")
        network = docker.found(f"/networks/{ask['network']}")
        running = docker.ask("/containers/json")
    except DockerError as error:
        return {"error": str(error)}
    return {
        "version": version.get("Version", ""),
        "root": info.get("DockerRootDir"),
        "in_force": in_force(info),
        "swarm": (info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive",
        "running": len(running),
        "ours": sum(1 for container in running if ask["label"] in (container.get("Labels") or {})),
        "network": network
        and {
            "labels": network.get("Labels") or {},
            "driver": network.get("Driver"),
            "options": network.get("Options") or {},
            "containers": len(network.get("Containers") or {}),
        },
    }


def disk(path: str) -> dict[str, Any]:
    """Free bytes where a directory is, or would be made."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return {"path": path, "free": status.f_bavail * status.f_frsize, "inodes": status.f_favail or (not status.f_files)}


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    host = release()
    source = dict(ask["source"], text=filled(ask["source"]["text"], host))
    shown = systemctl_show(UNITS, SHOWN)
    service = shown.get("docker.service", {})
    active = service.get("ActiveState") == "active"
    file = daemon_file(ask["daemon"])
    # Asking a stopped one would start it (docker.socket).
    answers = docker_answers(ask) if active else {}
    state = {
        "asked": True,
        "root": os.geteuid() == 0,
        "host": host,
        "apt": apt_state(source, ask["packages"]),
        "snap": os.path.exists("/snap/docker/current") or os.path.exists("/snap/bin/docker"),
        "rootless": rootless(),
        "service": {name: unit for name, unit in shown.items()},
        "process": daemon_process(service.get("MainPID", "0")) if active else None,
        "daemon": file,
        "record": read_record(ask["record"]),
        "docker": answers,
        "disk": disk(answers.get("root") or "/var/lib/docker"),
        "bridge": os.path.exists(f"/sys/class/net/{ask['bridge']}"),
        "firewall": firewall(ask["firewall"]),
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"docker: {error}")
