"""Write the units, remove those no longer declared, start or restart what must be, wait until each answers.

Told {"mark", "unit_dir", "files", "links", "enable", "names", "restart", "environment", "stay", "remove", "version"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from inferfleet.remote.files import write_file
from inferfleet.remote.look import read
from inferfleet.remote.ollama_memory import in_memory, load_again
from inferfleet.remote.units import await_version, fail, say, systemctl

DROP_IN = "zz-inferfleet.conf"
READY_S = 90


def link(path: str, target: str) -> None:
    """The path is a link to the target, whatever was there before."""
    if not os.path.islink(path) or os.readlink(path) != target:
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(target, path)


def remove(name: str, work: dict[str, Any]) -> None:
    """A unit of ours goes whole; from one that is not ours only our drop-in goes, and it runs on as its own."""
    path = f"{work['unit_dir']}/{name}.service"
    drop_in = f"{path}.d/{DROP_IN}"
    if os.path.islink(path) or not (read(path) or "").startswith(work["mark"]):
        theirs = os.path.basename(os.readlink(path)) if os.path.islink(path) else f"{name}.service"
        if os.path.islink(path):
            os.remove(path)
        os.remove(drop_in)
        systemctl("daemon-reload")
        let_go(theirs)
    else:
        systemctl("disable", "--now", name)
        os.remove(path)
        os.remove(drop_in)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(drop_in))
    say(f"{name} is removed")


def let_go(unit: str) -> None:
    """A unit from elsewhere, if it runs, starts again without our drop-in; one whose file is gone stops."""
    command = ["systemctl", "show", "-p", "LoadState,ActiveState", unit]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    if "ActiveState=active" in shown:
        systemctl("restart" if "LoadState=loaded" in shown else "stop", unit)


def main_process(name: str) -> tuple[dict[str, str], list[str]]:
    """What the unit's process was started with, and the drop-ins that systemd read after ours."""
    command = ["systemctl", "show", "-p", "MainPID,DropInPaths", name]
    text = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace").stdout
    shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    paths = shown.get("DropInPaths", "").split()
    ours = [position for position, path in enumerate(paths) if path.endswith(f"/{DROP_IN}")]
    environment = (read(f"/proc/{shown.get('MainPID', '0')}/environ") or "").split("\0")
    return dict(entry.split("=", 1) for entry in environment if "=" in entry), paths[ours[-1] + 1 :] if ours else []


def not_as_declared(name: str, environment: dict[str, str]) -> str:
    """Why the running process is not the declared one, though it was started with our files; empty when it is."""
    found, later = main_process(name)
    for key, value in environment.items():
        if found.get(key) != value:
            who = f"{', '.join(later)} says otherwise; remove it" if later else "another unit may answer there"
            return f"it runs with {key}={found.get(key, '(unset)')}, declared is {value}: {who}"
    return ""


def restart(name: str, address: str, version: str, environment: dict[str, str]) -> None:
    """Start it anew and wait until it answers as that version; what answers must be this unit's own process."""
    systemctl("restart", name)
    await_version(name, address, version, READY_S, lambda: True)
    if wrong := not_as_declared(name, environment):
        fail(f"{name} answers at {address}, but {wrong}")
    say(f"{name} answers at {address}")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)  # a hardened host's 077 would hide the drop-ins from everybody but root
    for name in work["remove"]:
        remove(name, work)
    for name in work["names"]:
        path = f"{work['unit_dir']}/{name}.service"
        if os.path.islink(path) and os.readlink(path) == "/dev/null":
            os.remove(path)
    for path, text in sorted(work["files"].items()):
        write_file(path, text)
    for path, target in work["links"].items():
        if os.path.isfile(path) and not os.path.islink(path):
            # Under one name with another unit, systemd could never start it again: its control group "exists already".
            systemctl("stop", os.path.basename(path))
        link(path, target)
    systemctl("daemon-reload")
    if work["enable"]:
        systemctl("unmask", "--quiet", *work["enable"])
        systemctl("enable", "--quiet", *work["enable"])
    for name, address in work["restart"]:
        # One after the other, so that the others answer meanwhile, and at once.
        had = in_memory(address, work["stay"][name])
        restart(name, address, work["version"], work["environment"][name])
        load_again(address, had)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        fail(f"ollama services: {error}")
