"""What scripts do with systemd's units and the files beside them; a part of those that import from it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any, NoReturn

# This host itself is never asked through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What systemd had to start again so often does not come up by being waited for.
ENDS, LOOK_S = 3, 1


def fail(text: str) -> NoReturn:
    """End with one line for the user."""
    sys.exit(text)


def say(text: str) -> None:
    """One line for the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def systemctl(*words: str) -> None:
    """Run it; ends with its own words where it fails."""
    done = subprocess.run(("systemctl", *words), capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        fail(f"systemctl {' '.join(words)}: {' '.join((done.stderr or done.stdout).split())}")


def version_at(address: str, seconds: float = 2) -> Any:
    """What the API says its version is; None where it says nothing within these seconds."""
    try:
        with _DIRECT.open(f"http://{address}/api/version", timeout=seconds) as answer:
            return json.load(answer)["version"]
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None


def journal(name: str, own: bool = False) -> str:
    """The unit's last words; with `own` those of its processes alone, without what systemd says of them."""
    which = [f"_SYSTEMD_UNIT={name}.service"] if own else ["-u", name]
    command = ["journalctl", "-q", "-n", "3", "-o", "cat", *which]
    text = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace").stdout
    return " | ".join(text.strip().splitlines())


def restarts_of(name: str) -> int:
    """How often systemd started the unit again by itself since somebody started it."""
    command = ["systemctl", "show", "-p", "NRestarts", name]
    text = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace").stdout
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line).get("NRestarts", "")
    return int(found) if found.isdigit() else 0


def await_version(name: str, address: str, version: str, seconds: float, is_own: Callable[[], bool]) -> None:
    """A unit that was just started answers as that version, by a process of its own; ends where it will not."""
    begun, looked, before = time.monotonic(), 0.0, restarts_of(name)
    while version_at(address) != version or not is_own():
        waited = time.monotonic() - begun
        if waited > seconds:
            fail(f"{name} does not answer as {version} at {address} after {seconds} s: {journal(name)}")
        if waited - looked > LOOK_S:
            looked = waited
            if restarts_of(name) - before >= ENDS:
                fail(f"{name} ends at each start: {journal(name, own=True) or journal(name)}")
        time.sleep(0.1)
