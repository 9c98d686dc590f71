"""Waiting for a service of the lab side."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.system import tail


def wait_port(address: str, port: int, name: str, log: Path, runs: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """The service listens there.

    Args:
        address: where it shall listen.
        port: where it shall listen.
        name: of the service.
        log: whose end explains a failure.
        runs: whether the service still runs.
        timeout_s: how long it may take.

    Raises:
        LabError: it does not, or has ended.
    """
    end = time.monotonic() + timeout_s
    while runs() and time.monotonic() < end:
        try:
            socket.create_connection((address, port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.02)
    why = f"does not listen on {address}:{port} after {timeout_s:.0f} s" if runs() else "has ended"
    raise LabError(f"{name}: {why}: {tail(log)}", f"the whole log is {log}")
