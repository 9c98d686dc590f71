"""Answer, as one line of JSON, which cards each container of ours sees and may open; alters nothing.

Asked with {"names"}: container names; none asks for all that carry our label. Nothing runs inside a container, so an
image needs no shell: its nodes are read through /proc, and whether they open is tried by a child of this process that
has joined the container's cgroup for that moment. The kernel says EPERM where the cgroup forbids a node, and anything
else where it allows it: what was allowed at the start and is not any more (`systemctl daemon-reload`) shows here.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import select
import signal
import stat
import sys
from typing import Any

from inferfleet.remote.cdi import CDI_KIND, cdi_files
from inferfleet.remote.docker_api import Docker, DockerError, docker_path

LABEL = "inferfleet.instance"
CARD_NODES = ("nvidia[0-9]*", "nvidia-caps/nvidia-cap[0-9]*")
# A card that fell off the bus can hang whoever opens it.
OPEN_HANGS_S = 20
CGROUPS = "/sys/fs/cgroup"


def nodes_below(root: str) -> dict[str, int]:
    """The nodes of cards below a root directory: path there -> device number."""
    found = {}
    for pattern in CARD_NODES:
        for path in glob.glob(f"{root}/dev/{pattern}"):
            status = os.stat(path)
            if stat.S_ISCHR(status.st_mode):
                found[path[len(root) :]] = status.st_rdev
    return found


def seen(pid: int, there: dict[str, int]) -> list[str]:
    """What a process finds in its /dev, by the host's names: a node may be called otherwise in a container."""
    names = {number: path for path, number in there.items()}
    inside = nodes_below(f"/proc/{pid}/root")
    return sorted(names.get(number, f"{path} of an unknown card") for path, number in inside.items())


def cgroup_of(pid: int) -> str:
    """The directory of the cgroup that decides which devices a process may open."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    if os.path.isdir(f"{CGROUPS}/devices"):
        return next(f"{CGROUPS}/devices{path}" for _, names, path in rows if "devices" in names.split(","))
    return next(f"{CGROUPS}{path}" for number, _, path in rows if number == "0")


def may_open(cgroup: str, paths: list[str]) -> list[str]:
    """Those nodes that a process in this cgroup may open; DockerError where that cannot be told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, _try_all(cgroup, paths).encode())
        finally:
            os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], OPEN_HANGS_S)
    text = os.read(reading, 1 << 16).decode() if ready else ""
    os.close(reading)
    if not ready:
        os.kill(child, signal.SIGKILL)
        raise DockerError(f"a card's node does not open within {OPEN_HANGS_S} s")
    os.waitpid(child, 0)
    answer = json.loads(text or '{"error": "the child that opens nodes died"}')
    if "error" in answer:
        raise DockerError(answer["error"])
    return sorted(answer["opens"])


def _try_all(cgroup: str, paths: list[str]) -> str:
    try:
        with open(f"{cgroup}/cgroup.procs", "w", encoding="utf-8") as file:
            file.write(str(os.getpid()))
    except OSError as error:
        return json.dumps({"error": f"its cgroup {cgroup} cannot be joined: {error.strerror}"})
    return json.dumps({"opens": [path for path in paths if _opens(path)]})


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES)
    return True


def told_of(inspected: dict[str, Any], there: dict[str, int]) -> dict[str, Any]:
    """What is known of one container's cards."""
    config, pid = inspected["HostConfig"], inspected["State"]["Pid"]
    requests = config.get("DeviceRequests") or []
    told = {
        "running": bool(pid),
        "cdi": sorted(name for request in requests for name in request.get("DeviceIDs") or []),
        "drivers": sorted({request.get("Driver") or "" for request in requests}),
        "runtime": config.get("Runtime", ""),
        "privileged": bool(config.get("Privileged")),
    }
    if not pid:
        return told
    try:
        return dict(told, sees=seen(pid, there), opens=may_open(cgroup_of(pid), sorted(there)))
    except (OSError, StopIteration) as error:
        return dict(told, error=f"its process cannot be looked at: {error}")
    except DockerError as error:
        return dict(told, error=str(error))


def specified() -> dict[str, list[str]]:
    """Device name -> nodes, as containers are given them; what is in /var/run hides what is in /etc."""
    found: dict[str, list[str]] = {}
    for spec in cdi_files().values():
        found.update({name: device["nodes"] for name, device in spec.get("devices", {}).items()})
    return found


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    docker = Docker(timeout=20)
    names = ask.get("names")
    if not names:
        listed = docker.ask(docker_path("/containers/json", all="1", filters=json.dumps({"label": [LABEL]})))
        names = [entry["Names"][0].lstrip("/") for entry in listed]
    there = nodes_below("")
    inspected = {name: docker.found(f"/containers/{name}/json") for name in names}
    answer = {
        "kind": CDI_KIND,
        "containers": {name: told_of(entry, there) for name, entry in inspected.items() if entry},
        "nodes": sorted(there),
        "specified": specified(),
        "default_runtime": docker.ask("/info").get("DefaultRuntime", ""),
    }
    sys.stdout.write(json.dumps(answer, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except DockerError as error:
        sys.exit(f"Docker: {error}")
    except OSError as error:
        sys.exit(f"container cards: {error}")
