"""Our table of the firewall brought about; a part of scripts that do."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from inferfleet.remote.apt_source import fail, say
from inferfleet.remote.files import write_file

# systemd itself waits for ever for Docker to start (`TimeoutStartSec=0` in its unit), and 90 s for it to stop.
COMMAND_S = 300


def run_quietly(*words: str) -> str:
    """Empty, or what the command says against it; one that does not end in time is left alone."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        done = subprocess.run(
            words, stdin=null, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace", timeout=COMMAND_S
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {COMMAND_S} s"
    return " ".join((done.stderr or done.stdout).split()) or f"ends with {done.returncode}" if done.returncode else ""


def systemctl(*words: str) -> None:
    """Run it; ends with its own words where it fails."""
    if wrong := run_quietly("systemctl", *words):
        fail(f"systemctl {' '.join(words)}: {wrong}")


def firewall(work: dict[str, Any]) -> None:
    """Both files are there, the unit is enabled, and its start has loaded the table."""
    if not work["apply"]:
        return
    if not shutil.which("nft"):
        fail("nft is missing, though the package nftables is there")
    for path, text in work["files"].items():
        write_file(path, text)
    systemctl("daemon-reload")
    systemctl("unmask", "--quiet", work["unit"])
    systemctl("enable", "--quiet", work["unit"])
    systemctl("restart", work["unit"])
    say("the firewall's table is loaded")
