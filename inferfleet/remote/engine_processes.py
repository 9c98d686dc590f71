"""Answer, as one line of JSON, which processes belong to each unit or container of these names; alters nothing.

Asked with {"services", "containers"}: names. A process that NVML shows on a card is told from another's by them.
"""

from __future__ import annotations

import glob
import json
import subprocess
import sys
from typing import Any

from inferfleet.remote.docker_api import Docker, DockerError, docker_path
from inferfleet.remote.look import read

CGROUPS = "/sys/fs/cgroup"


def below(cgroup: str) -> list[int]:
    """The processes in a cgroup and all that are below it."""
    paths = glob.glob(f"{CGROUPS}{cgroup}/**/cgroup.procs", recursive=True) if cgroup.strip("/") else []
    return sorted(int(pid) for path in paths for pid in (read(path) or "").split())


def of_service(name: str) -> list[int]:
    """The processes of a unit."""
    command = ["systemctl", "show", "--value", "-p", "ControlGroup", f"{name}.service"]
    return below(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip())


def of_container(docker: Docker, name: str) -> list[int]:
    """The processes of a container, by their numbers on the host."""
    found = docker.found(docker_path(f"/containers/{name}/json"))
    pid = found["State"]["Pid"] if found else 0
    return below((read(f"/proc/{pid}/cgroup") or "").strip().rpartition("::")[2]) if pid else []


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    docker = Docker()
    found = {name: of_service(name) for name in ask["services"]}
    found.update({name: of_container(docker, name) for name in ask["containers"]})
    sys.stdout.write(json.dumps(found, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError) as error:
        sys.exit(f"processes: {error}")
