"""Bring NVIDIA's Container Toolkit, write the CDI specification anew, and see that Docker knows of the cards.

Told {"proxy", "source", "packages", "hold", "units", "remove", "output", "refresh", "devices"}. Everything can be done
again; killed anywhere, the next run ends in the same place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

from inferfleet.remote.apt_source import bring_source, fail, full_version, hold, install, say
from inferfleet.remote.cdi import CDI_MARK, cdi_environment, cdi_file, cdi_fresh
from inferfleet.remote.docker_api import DOCKER_SOCKET, Docker, DockerError
from inferfleet.remote.files import write_file
from inferfleet.remote.units import journal, systemctl

REFRESH = "nvidia-cdi-refresh.service"
REMOVED = "/var/lib/inferfleet/removed"
SEEN_S = 10


def bring_toolkit(packages: dict[str, str]) -> None:
    """All of them are at their version."""
    versions: dict[str, str | None] = {name: full_version(name, version) for name, version in packages.items()}
    say(f"installing {', '.join(f'{name} {version}' for name, version in versions.items())}")
    install(versions)


def start_at_boot(units: list[str]) -> None:
    """These units are enabled, and those that wait for changes do."""
    systemctl("daemon-reload")
    systemctl("unmask", *units)
    systemctl("enable", "-q", *units)
    systemctl("start", *(unit for unit in units if unit.endswith(".path")))


def put_away(path: str) -> None:
    """It is out of Docker's sight; a copy stays."""
    os.makedirs(REMOVED, mode=0o755, exist_ok=True)
    kept = f"{REMOVED}/{path.strip('/').replace('/', '-')}"
    # Whole before the other goes: the two may be on different file systems.
    shutil.copy2(path, f"{kept}.part")
    os.replace(f"{kept}.part", kept)
    os.remove(path)
    say(f"{path} is removed; a copy is kept as {kept}")


def refresh(output: str, by_unit: bool) -> dict[str, Any]:
    """The specification says what nvidia-ctk says now; returns it."""
    fresh = cdi_fresh()
    if fresh is None or "error" in fresh:
        fail(f"nvidia-ctk cannot read the cards: {(fresh or {}).get('error', 'it is missing')}")
    if not _same(cdi_file(output), fresh):
        say(f"writing {output}")
        if by_unit:
            # Each installation starts the unit as well, and systemd allows it five starts in ten seconds.
            systemctl("reset-failed", REFRESH)
            systemctl("restart", REFRESH)
        else:
            generate(output)
    if not _same(cdi_file(output), fresh):
        fail(f"{REFRESH} does not write {output} as nvidia-ctk says it now: {journal(REFRESH) or 'it says nothing'}")
    return fresh


def _same(found: dict[str, Any] | None, fresh: dict[str, Any]) -> bool:
    return found is not None and all(found.get(key) == fresh[key] for key in ("devices", "common"))


def generate(output: str) -> None:
    """A version without units: the file is ours."""
    command = ["nvidia-ctk", "cdi", "generate"]
    pipe = subprocess.PIPE
    done = subprocess.run(command, stdout=pipe, stderr=pipe, encoding="utf-8", env=cdi_environment(), timeout=120)
    if done.returncode:
        fail(f"nvidia-ctk cdi generate: {' '.join(done.stderr.split()[-30:])}")
    write_file(output, f"{CDI_MARK}\n{done.stdout}")


def check_docker(docker: Docker, output: str, devices: list[str]) -> None:
    """Docker finds every card, as far as it tells: before 28.2 it names the directories alone."""
    end = time.monotonic() + SEEN_S
    while True:
        info = docker.ask("/info")
        directories = [os.path.realpath(path) for path in info.get("CDISpecDirs") or []]
        if "CDISpecDirs" in info and not directories:
            fail('Docker has CDI switched off; set {"features": {"cdi": true}} in /etc/docker/daemon.json')
        if directories and os.path.realpath(os.path.dirname(output)) not in directories:
            fail(f"Docker does not look for CDI specifications in {os.path.dirname(output)}; see cdi-spec-dirs")
        if info.get("DiscoveredDevices") is None:
            return
        seen = [device.get("ID") for device in info["DiscoveredDevices"]]
        unseen = [name for name in devices if f"nvidia.com/gpu={name}" not in seen]
        if not unseen:
            return
        if time.monotonic() > end:
            fail(f"Docker does not see nvidia.com/gpu={unseen[0]}, which {output} names; journalctl -u docker says why")
        time.sleep(0.5)


def main(work: dict[str, Any]) -> None:
    """In the order in which each step needs the one before."""
    os.environ.update(work["proxy"])
    if work["source"]:
        # What names this repository alone is set aside; a host where others stand beside it was refused.
        bring_source(work["source"], replace=True)
    if work["packages"]:
        bring_toolkit(work["packages"])
    if work["hold"]:
        hold(work["hold"])
    if work["units"]:
        start_at_boot(work["units"])
    for path in work["remove"]:
        put_away(path)
    if work["refresh"]:
        fresh = refresh(work["output"], bool(work["units"]))
        missing = [name for name in work["devices"] if name not in fresh["devices"]]
        if missing:
            have = ", ".join(name for name in fresh["devices"] if name.startswith(("GPU-", "MIG-"))) or "no card"
            fail(f"card {missing[0]} is declared, nvidia-ctk finds {have}; correct the inventory")
    if os.path.exists(DOCKER_SOCKET):
        check_docker(Docker(timeout=20), work["output"], work["devices"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except DockerError as error:
        sys.exit(f"Docker: {error}")
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"nvidia toolkit: {error}")
