"""Account and units of a gateway; a part of the script that brings it about."""

from __future__ import annotations

import grp
import pwd
import subprocess

from inferfleet.remote.apt_source import fail
from inferfleet.remote.apt_state import output

# Streams may have 30 s to end when a unit stops.
COMMAND_S = 120


def quietly(*words: str) -> str:
    """Empty, or what the command says against it."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        done = subprocess.run(
            words, stdin=null, stdout=pipe, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
            timeout=COMMAND_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"does not end within {COMMAND_S} s"
    return " ".join(done.stdout.split()) or f"ends with {done.returncode}" if done.returncode else ""


def systemctl(*words: str) -> None:
    """Run it; ends with its own words where it fails."""
    if wrong := quietly("systemctl", *words):
        fail(f"systemctl {' '.join(words)}: {wrong}")


def unit_journal(unit: str) -> str:
    """The first thing called wrong in the unit's last words, or the last of them."""
    lines = output("journalctl", "-q", "-n", "30", "-o", "cat", "-u", unit).strip().splitlines()
    wrong = [line for line in lines if "[ALERT]" in line]
    return (wrong or lines[-1:] or [""])[0]


def account(user: str, group: str) -> None:
    """A user of the gateway's own, in a group of its own, and the group of those who may read its counters."""
    if not there(grp.getgrnam, group):
        run("groupadd", "--system", group)
    if not there(grp.getgrnam, user):
        run("groupadd", "--system", user)
    if not there(pwd.getpwnam, user):
        run("useradd", "--system", "--no-create-home", "-d", "/", "-s", "/usr/sbin/nologin", "-g", user, user)


def there(find: object, name: str) -> bool:
    """Whether the host knows the name."""
    try:
        find(name)  # type: ignore[operator]
        return True
    except KeyError:
        return False


def run(*words: str) -> None:
    """Run it; ends with its own words where it fails."""
    if wrong := quietly(*words):
        fail(f"{words[0]} {words[-1]}: {wrong}")
