"""Remove containers that are declared no longer; write the others' units, start or restart what must be.

Told {"remove", "unit_dir", "environment_dir"}, or {"user", "user_place", "unit_dir", "units", "restart",
"stay"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import sys
from typing import Any

from inferfleet.remote.docker_api import Docker, DockerError, docker_path, docker_runs
from inferfleet.remote.files import write_file
from inferfleet.remote.look import container_units
from inferfleet.remote.ollama_memory import in_memory, load_again
from inferfleet.remote.units import await_version, fail, say, systemctl

DROP_IN = "zz-inferfleet.conf"
LABEL = "inferfleet.instance"
SPEC = "inferfleet.spec"
READY_S = 90


def spec_of(docker: Docker, name: str) -> str | None:
    """What the running container of ours says it was started with; None where none runs."""
    found = docker.found(docker_path(f"/containers/{name}/json"))
    if not found or not found["State"]["Running"]:
        return None
    return str((found["Config"].get("Labels") or {}).get(SPEC))


def remove_container(docker: Docker, name: str) -> None:
    """No container of ours is there of this name; where Docker itself is gone, so is its unit's container (`--rm`)."""
    try:
        found = docker.found(docker_path(f"/containers/{name}/json"))
    except DockerError as error:
        if error.status or docker_runs():
            raise
        return
    if found and (found["Config"].get("Labels") or {}).get(LABEL) == name:
        docker.ask(docker_path(f"/containers/{found['Id']}", force="1"), method="DELETE")


def remove(docker: Docker, name: str, work: dict[str, Any]) -> None:
    """The unit, its environment and its container are gone; each only where it is ours."""
    path = f"{work['unit_dir']}/{name}.service"
    if name in container_units(work["unit_dir"]):
        systemctl("disable", "--now", name)
        os.remove(path)
    remove_container(docker, name)
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{work['environment_dir']}/{name}.env")
    say(f"{name} is removed")


def put(name: str, texts: list[str], work: dict[str, Any], user: str) -> None:
    """The unit and its environment are there; what the same name was as a service of its own is not."""
    unit_path, unit, environment_path, environment = texts
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{unit_path}.d/{DROP_IN}")
    if os.path.islink(unit_path):
        os.remove(unit_path)
    write_file(environment_path, environment, 0o600)
    write_file(unit_path, unit.replace(work["user_place"], user))


def restart(docker: Docker, name: str, address: str, version: str, digest: str) -> None:
    """Made anew, and answering as that version; what answers must be this unit's own container."""
    systemctl("restart", name)
    await_version(name, address, version, READY_S, lambda: spec_of(docker, name) == digest)
    say(f"{name} answers at {address}")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)
    docker = Docker()
    for name in work.get("remove", ()):
        remove(docker, name, work)
    units = work.get("units", {})
    if units:
        entry = pwd.getpwnam(work["user"])
        for name, texts in units.items():
            put(name, texts, work, f"{entry.pw_uid}:{entry.pw_gid}")
    systemctl("daemon-reload")
    if units:
        systemctl("unmask", "--quiet", *units)
        systemctl("enable", "--quiet", *units)
    for name, address, version, digest in work.get("restart", ()):
        # One after the other, so that the others answer meanwhile, and at once.
        had = in_memory(address, work["stay"][name])
        restart(docker, name, address, version, digest)
        load_again(address, had)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError, KeyError) as error:
        fail(f"containers: {error}")
