"""Answer, as one line of JSON, everything that decides whether this host's containers are as declared.

Asked with {"unit_dir", "environment_dir", "user", "addresses", "listens", "images"}; alters nothing.
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

from inferfleet.remote.docker_api import Docker, DockerError, docker_path, docker_runs
from inferfleet.remote.images_state import images_state
from inferfleet.remote.look import MARK, not_ours, owner, read, systemctl_show
from inferfleet.remote.units import version_at

LABEL = "inferfleet.instance"
SPEC = "inferfleet.spec"
# One that is silent is made anew, which cuts what it is answering: a host at the end of its breath is given time.
BUSY_S = 10


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
        "environment": pairs(whole["Config"].get("Env")),
        "of_image": of_image(docker, whole["Image"]),
    }


def pairs(entries: list[str] | None) -> dict[str, str]:
    """Variables as Docker lists them."""
    return dict(entry.split("=", 1) for entry in entries or [] if "=" in entry)


def of_image(docker: Docker, image: str) -> dict[str, str] | None:
    """The variables that a container has of its image, whoever starts it; None where the image is gone."""
    found = docker.found(f"/images/{image}/json")
    return pairs((found.get("Config") or {}).get("Env")) if found else None


def containers(docker: Docker, names: list[str]) -> tuple[dict[str, Any], list[tuple[str, int, str]]]:
    """The containers of these names and all of ours; and address, port and name of what the others publish."""
    listed = docker.ask("/containers/json?all=1")
    found: dict[str, Any] = {}
    published: list[tuple[str, int, str]] = []
    for entry in listed:
        # One that is just being removed may have lost its name.
        name = (entry.get("Names") or [""])[0].lstrip("/")
        ours = LABEL in (entry.get("Labels") or {})
        if name and (ours or name in names):
            whole = container(docker, entry)
            found.update({name: whole} if whole else {})
        if not ours:
            ports = [port for port in entry.get("Ports") or [] if "PublicPort" in port and port.get("Type") == "tcp"]
            published += [(port.get("IP") or "*", port["PublicPort"], f"the container {name}") for port in ports]
    return found, published


def listeners(ports: list[int]) -> list[tuple[str, int, str]]:
    """Who listens on these ports: the program, its pid and its unit; not Docker, which does so for a container."""
    command = ["ss", "-Hltnp"]
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = []
    for line in text.splitlines():
        address, _, port = line.split()[3].rpartition(":")
        who = re.search(r'\(\("([^"]+)",pid=(\d+)', line)
        # The daemon itself holds the port where it has no proxy (`"userland-proxy": false`), and beside one (28).
        if int(port) in ports and not re.search(r'"(docker-proxy|dockerd)",pid=', line):
            name = f"{who[1]} (pid {who[2]}, {unit_of(who[2])})" if who else "another program"
            found.append((re.sub("%.*", "", address).strip("[]"), int(port), name))
    return found


def in_the_way(one: str, other: str) -> bool:
    """Whether two programs cannot both listen on these addresses at the same port."""
    return one == other or bool({one, other} & {"*", "0.0.0.0", "::"})


def unit_of(pid: str) -> str:
    """The unit that a process belongs to."""
    return os.path.basename((read(f"/proc/{pid}/cgroup") or "").strip().rpartition("::")[2]) or "no unit"


def ports_taken(ask: dict[str, Any], published: list[tuple[str, int, str]], ours: list[str]) -> dict[str, str]:
    """Ports of declared containers at which somebody else listens; units of ours are on their way out.

    Who listens at the same port of another address, as a proxy may, is in nobody's way.
    """
    wanted = {int(at.rpartition(":")[2]): ask["listens"][name] for name, at in ask["addresses"].items()}
    others = [who for who in listeners(list(wanted)) if not any(who[2].endswith(f", {n}.service)") for n in ours)]
    found: dict[str, str] = {}
    for address, port, who in [*published, *others]:
        if port in wanted and in_the_way(address, wanted[port]):
            found.setdefault(str(port), who)
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
    found: dict[str, Any] = {}
    published: list[tuple[str, int, str]] = []
    images: dict[str, Any] = {"silent": True}
    error = None if docker_runs() else "Docker does not run"
    try:
        if error is None:
            found, published = containers(docker, sorted(ask["addresses"]))
            images = images_state(docker, ask["images"])
    except DockerError as why:
        found, published, images, error = {}, [], {"silent": True}, str(why)
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
        "away": not_ours(list(ask["listens"].values())),
        "ports": ports_taken(ask, published, natives(ask["unit_dir"])),
        "images": images,
        "version": {name: version_at(address, BUSY_S) for name, address in ask["addresses"].items()},
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError) as error:
        sys.exit(f"containers: {error}")
