"""What scripts look at on a host: files, their owners, systemd's units; a part of those that import from it."""

from __future__ import annotations

import errno
import glob
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
from typing import Any

MARK = "# Managed by inferfleet"
SHOWN = "Id,LoadState,FragmentPath,UnitFileState,ActiveState,MainPID,NeedDaemonReload"


def read(path: str) -> str | None:
    """The text of a file, None where there is none; bytes that are no text differ from any declared text."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def read_json(path: str) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none or it holds something else."""
    try:
        found = json.loads(read(path) or "null")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def owner(path: str) -> dict[str, str] | None:
    """Who owns a path and its mode in octal; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return {"owner": name, "mode": f"{stat.S_IMODE(status.st_mode):o}"}


def container_units(unit_dir: str) -> list[str]:
    """Units of ours that run a container: what carries our mark is ours, whatever else of it was taken away."""
    texts = {path: read(path) or "" for path in glob.glob(f"{unit_dir}/*.service")}
    ours = [path for path, text in texts.items() if text.startswith(MARK) and "/usr/bin/docker run" in text]
    return sorted(os.path.basename(path)[: -len(".service")] for path in ours)


def not_ours(addresses: list[str]) -> list[str]:
    """Those of these addresses that no interface of this host has, so that nothing can listen on them."""
    found = []
    for address in sorted(set(addresses)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
                one.bind((address, 0))
        except OSError as error:
            found += [address] if error.errno == errno.EADDRNOTAVAIL else []
    return found


def systemctl_show(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units, in one call; nothing of a unit that it does not answer for."""
    if not names:
        return {}
    command = ["systemctl", "show", "-p", SHOWN, *(f"{name}.service" for name in names)]
    try:
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        sys.exit("this host has no systemctl; services need systemd")
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return {name: block for name, block in zip(names, blocks)}  # noqa: B905  # no strict before 3.10
