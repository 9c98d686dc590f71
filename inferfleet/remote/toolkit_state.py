"""Answer, as one line of JSON, everything that decides whether containers on this host are given NVIDIA cards.

Asked with {"source", "packages", "units"}; alters nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from inferfleet.remote.apt_state import apt_state, entries, output, text_of
from inferfleet.remote.cdi import CDI_OUTPUT, cdi_files, cdi_fresh, cdi_settings
from inferfleet.remote.docker_api import Docker, DockerError, docker_runs

UNIT_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,Result"


def unit_states(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units; nothing of one that it does not know."""
    text = output("systemctl", "show", "-p", UNIT_PROPERTIES, *names)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    known = [block for block in blocks if block.get("LoadState", "not-found") != "not-found"]
    keys = {"load": "LoadState", "enabled": "UnitFileState", "active": "ActiveState", "result": "Result"}
    return {block["Id"]: {key: block.get(shown, "") for key, shown in keys.items()} for block in known}


def mixed(paths: list[str], source: dict[str, Any]) -> list[str]:
    """Of the files that name our repository with another key, those that name others beside it."""
    arch = output("dpkg", "--print-architecture").strip()
    ours = {(uri, suite) for uri, suite, _ in entries(source["text"], True, arch)}
    theirs = {path: entries(text_of(path) or "", path.endswith(".sources"), arch) for path in paths}
    return [path for path in paths if any((uri, suite) not in ours for uri, suite, _ in theirs[path])]


def docker_state() -> dict[str, Any] | None:
    """What Docker says of CDI and of its runtimes; None where none runs or answers."""
    if not docker_runs():
        return None
    try:
        info = Docker(timeout=20).ask("/info")
    except DockerError:
        return None
    discovered = info.get("DiscoveredDevices")
    return {
        "directories": info.get("CDISpecDirs"),
        "discovered": None if discovered is None else [str(device.get("ID")) for device in discovered],
        "default_runtime": info.get("DefaultRuntime", ""),
    }


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    apt = apt_state(ask["source"], ask["packages"]) if shutil.which("dpkg-query") else None
    if apt and apt["source"]["conflicts"]:
        apt["source"]["mixed"] = mixed(apt["source"]["conflicts"], ask["source"])
    state = {
        "root": os.geteuid() == 0,
        "apt": apt,
        "units": unit_states(ask["units"]),
        "output": cdi_settings().get(CDI_OUTPUT),
        "specs": cdi_files(),
        "fresh": cdi_fresh(),
        "docker": docker_state(),
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"nvidia toolkit: {error}")
