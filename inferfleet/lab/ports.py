"""Waiting for a service of the lab side."""

import socket
import time
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.system import tail


def wait_port(address: str, port: int, name: str, log: Path, timeout_s: float = 15.0) -> None:
    """Something listens there.

    Raises:
        LabError: not within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            socket.create_connection((address, port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.02)
    raise LabError(f"{name}: does not listen on {address}:{port} after {timeout_s:.0f} s: {tail(log)}", f"read {log}")
