"""Answer, as one line of JSON, everything that decides whether this host's containers are as declared.

Asked with {"unit_dir", "environment_dir", "user", "addresses", "images"}; alters nothing.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import re
import subprocess
import sys
from typing import Any

from inferfleet.remote.docker_api import Docker, DockerError, docker_path
from inferfleet.remote.images_state import images_state
from inferfleet.remote.look import MARK, owner, read, systemctl_show
from inferfleet.remote.units import version_at

LABEL = "inferfleet.instance"
SPEC = "inferfleet.spec"


def user(name: str) -> str | None:
    """The numbers of an account as `uid:gid`; None where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return f"{entry.pw_uid}:{entry.pw_gid}"


def unit(name: str, shown: dict[str, str], ask: dict[str, Any]) -> dict[str, Any]:
    """A unit, the file with its environment, and what systemd makes of it."""
    path = f"{ask['unit_dir']}/{name}.service"
    environment = f"{ask['environment_dir']}/{name}.env"
    return {
        "file": read(path) if not os.path.islink(path) else None,
        "file_owner": owner(path),
        "environment": read(environment),
        "environment_owner": owner(environment),
        "load": shown.get("LoadState", ""),
        "foreign": not (read(shown.get("FragmentPath", "")) or MARK).startswith(MARK),
        "enabled": shown.get("UnitFileState", ""),
        "active": shown.get("ActiveState", ""),
        "command": (read(f"/proc/{shown.get('MainPID', '0')}/cmdline") or "").split("\0")[:-1],
        "stale": shown.get("NeedDaemonReload", "no") == "yes",
    }


def container(docker: Docker, found: dict[str, Any]) -> dict[str, Any] | None:
    """What a container was started with; None where it went away meanwhile."""
    whole = docker.found(docker_path(f"/containers/{found['Id']}/json"))
    if whole is None:
        return None
    labels = whole["Config"].get("Labels") or {}
    requests = whole["HostConfig"].get("DeviceRequests") or []
    return {
        "ours": LABEL in labels,
        "spec": labels.get(SPEC),
        "running": bool(whole["State"]["Running"]),
        "pid": whole["State"]["Pid"],
        "image": whole["Image"],
        "reference": whole["Config"]["Image"],
        "runtime": whole["HostConfig"].get("Runtime"),
        "devices": [d for r in requests if r.get("Driver") == "cdi" for d in r.get("DeviceIDs") or []],
        "environment": dict(entry.split("=", 1) for entry in whole["Config"].get("Env") or [] if "=" in entry),
    }


def containers(docker: Docker, names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The containers of these names and all of ours; and who of the others publishes which port."""
    listed = docker.ask("/containers/json?all=1")
    found: dict[str, Any] = {}
    published: dict[str, str] = {}
    for entry in listed:
        name = entry["Names"][0].lstrip("/")
        ours = LABEL in (entry.get("Labels") or {})
        if ours or name in names:
            whole = container(docker, entry)
            found.update({name: whole} if whole else {})
        if not ours:
            published.update(
                {str(p["PublicPort"]): f"the container {name}" for p in entry["Ports"] if "PublicPort" in p}
            )
    return found, published


def listeners(ports: list[int]) -> dict[str, str]:
    """Who listens on these ports: the program, its pid and its unit; not Docker's own proxy, which is a container's."""
    command = ["ss", "-Hltnp"]
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = {}
    for line in text.splitlines():
        port = line.split()[3].rpartition(":")[2]
        who = re.search(r'\(\("([^"]+)",pid=(\d+)', line)
        if int(port) in ports and (who is None or who[1] != "docker-proxy"):
            found[port] = f"{who[1]} (pid {who[2]}, {unit_of(who[2])})" if who else "another program"
    return found


def unit_of(pid: str) -> str:
    """The unit that a process belongs to."""
    return os.path.basename((read(f"/proc/{pid}/cgroup") or "").strip().rpartition("::")[2]) or "no unit"


def ports_taken(ask: dict[str, Any], published: dict[str, str], ours: list[str]) -> dict[str, str]:
    """Ports of declared containers at which somebody else listens; units of ours are on their way out."""
    wanted = [int(address.rpartition(":")[2]) for address in ask["addresses"].values()]
    found = {port: who for port, who in published.items() if int(port) in wanted}
    for port, who in listeners(wanted).items():
        if not any(who.endswith(f", {name}.service)") for name in ours):
            found.setdefault(port, who)
    return found


def natives(unit_dir: str) -> list[str]:
    """Units that carry our mark or our drop-in: they are ours whatever they run."""
    drop_ins = glob.glob(f"{unit_dir}/*.service.d/zz-inferfleet.conf")
    units = [path for path in glob.glob(f"{unit_dir}/*.service") if (read(path) or "").startswith(MARK)]
    return [os.path.basename(p)[: -len(".service")] for p in [*units, *(os.path.dirname(d)[:-2] for d in drop_ins)]]


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    files = glob.glob(f"{ask['environment_dir']}/*.env")
    ours = [os.path.basename(path)[: -len(".env")] for path in files]
    docker = Docker()
    error = None
    try:
        found, published = containers(docker, sorted(ask["addresses"]))
        images = images_state(docker, ask["images"])
    except DockerError as why:
        found, published, images, error = {}, {}, {}, str(why)
    ours = sorted({*ours, *(name for name, entry in found.items() if entry["ours"])})
    names = sorted({*ask["addresses"], *ours})
    shown = systemctl_show(names)
    state = {
        "root": os.geteuid() == 0,
        "user": user(ask["user"]),
        "docker": error,
        "units": {name: unit(name, shown.get(name, {}), ask) for name in names},
        "ours": ours,
        "containers": found,
        "ports": ports_taken(ask, published, natives(ask["unit_dir"])),
        "images": images,
        "version": {name: version_at(address) for name, address in ask["addresses"].items()},
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError) as error:
        sys.exit(f"containers: {error}")
