"""The prober as a host runs it: the zip, in a process of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inferfleet.prober.pack import zipped
from tests.prober.engine_double import EngineDouble


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Running:
    """One prober, its file and what it said."""

    def __init__(self, folder: Path, text: bytes, python: str = sys.executable) -> None:
        self.file, self.log, self.zip = folder / "prober.json", folder / "log", folder / "prober.pyz"
        self.agent, self.http = free_port(), free_port()
        self.killed = False
        self.zip.write_bytes(zipped())
        self.write(text)
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify"))
        self.told.settimeout(15)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-I", str(self.zip), str(self.file)],
                stderr=log,
                env={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"},
            )

    def kill(self) -> None:
        """As kill -9 does."""
        self.killed = True
        self.process.kill()
        self.process.wait(10)

    def write(self, text: bytes) -> None:
        """The file, with this prober's addresses where it names none."""
        data = json.loads(text)
        own = {"agent": f"127.0.0.1:{self.agent}", "http": f"127.0.0.1:{self.http}"}
        self.file.write_text(json.dumps({**own, **data}))

    def said(self) -> list[str]:
        return self.log.read_text().splitlines()

    def ask(self, name: str) -> str:
        """As HAProxy does."""
        with socket.create_connection(("127.0.0.1", self.agent), timeout=10) as asking:
            asking.sendall(f"{name}\n".encode())
            return asking.makefile().read()

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.page("/status")))

    def one(self, name: str = "m/s") -> dict[str, Any]:
        return next(each for each in self.status()["servers"] if f"{each['backend']}/{each['server']}" == name)

    def again(self) -> None:
        """SIGHUP, and wait for its line."""
        before = len(self.said())
        self.process.send_signal(signal.SIGHUP)
        until(lambda: any("read again" in line or "stays" in line for line in self.said()[before:]))

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def until(holds: Callable[[], Any], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            pytest.fail("did not come true in time")
        time.sleep(0.02)


@contextmanager
def running(folder: Path, text: bytes, python: str = sys.executable) -> Iterator[Running]:
    made = Running(folder, text, python)
    try:
        assert made.told.recv(100) in (b"READY=1", b"WATCHDOG=1"), made.said()
        until(lambda: made.said())
        yield made
    finally:
        made.process.send_signal(signal.SIGCONT)
        made.process.terminate()
        try:
            assert made.process.wait(10) == (-signal.SIGKILL if made.killed else 0)
        finally:
            made.process.kill()
            made.told.close()


@contextmanager
def threaded() -> Iterator[EngineDouble]:
    """A double in a thread of its own; its mode may be set from outside."""
    double, loop = EngineDouble(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(double.listen(), loop).result(10)
        yield double
    finally:
        asyncio.run_coroutine_threadsafe(double.gone(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
