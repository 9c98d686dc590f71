"""What scripts do with systemd's units and the files beside them; a part of those that import from it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from typing import Any, NoReturn

# This host itself is never asked through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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


def journal(name: str) -> str:
    """The unit's last words."""
    command = ["journalctl", "-q", "-n", "3", "-o", "cat", "-u", name]
    text = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace").stdout
    return " | ".join(text.strip().splitlines())
