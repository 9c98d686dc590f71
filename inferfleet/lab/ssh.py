"""SSH into lab hosts with the lab's key and the hosts' real host keys, and nothing of the user's own."""

import shlex
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.system import environment

PORT = 22


def command(directory: Path, address: str, words: Sequence[str] = (), user: str = "root") -> list[str]:
    """The ssh command line for a host of the lab whose directory is given."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        "StrictHostKeyChecking": "yes",
        "GlobalKnownHostsFile": "/dev/null",
        "UserKnownHostsFile": known_hosts(directory),
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={shlex.quote(str(value))}")]
    return ["ssh", "-F", "/dev/null", "-i", str(key(directory)), *flags, f"{user}@{address}", *words]


def key(directory: Path) -> Path:
    """The lab's private key."""
    return directory / "id_ed25519"


def known_hosts(directory: Path) -> Path:
    """The lab's known_hosts file."""
    return directory / "known_hosts"


def answers(address: str, timeout_s: float = 0.5) -> bool:
    """An SSH server greets at that address."""
    try:
        with socket.create_connection((address, PORT), timeout=timeout_s) as connection:
            connection.settimeout(2.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait(directory: Path, name: str, address: str, timeout_s: float) -> None:
    """The host lets `deploy` in.

    sshd answers a little before systemd lets anyone but root log in (pam_nologin), so it is deploy
    who knocks.

    Raises:
        LabError: not within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if answers(address):
            knock = command(directory, address, ["true"], user="deploy")
            if subprocess.run(knock, stdin=subprocess.DEVNULL, capture_output=True, env=environment()).returncode == 0:
                return
        time.sleep(0.05)
    raise LabError(f"{name}: does not answer on SSH after {timeout_s:.0f} s")
