"""The program: listens, reloads on SIGHUP, ends on SIGTERM, tells systemd that it lives."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import signal
import socket
import sys
from typing import Any

from inferfleet.prober.agent import Agent
from inferfleet.prober.config import Config, ConfigError, load, split_address
from inferfleet.prober.pages import MAX_HEAD, Pages, as_json, metrics
from inferfleet.prober.rounds import Fleet


def say(text: str) -> None:
    """One line for the journal."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)), where it started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as teller:
        teller.setblocking(False)
        try:
            teller.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except BlockingIOError:
            return  # systemd has many words of ours to read yet
        except OSError as error:
            say(f"systemd: {error.strerror}")


class Prober:
    """Everything that runs."""

    def __init__(self, path: str, config: Config) -> None:
        self._path, self._error = path, ""
        self._loop = asyncio.get_event_loop()
        self._began = self._loop.time()
        self.fleet = Fleet(config, say)
        self.agent = Agent(self.fleet.watched)
        self._pages = Pages({"/metrics": self._metrics, "/status": self._status})
        self._listening: dict[str, tuple[str, Any]] = {}
        self._program = _digest(sys.argv[0])
        self._reloading = asyncio.Lock()

    async def listen(self, config: Config) -> None:
        """Listen where the file says; the old addresses are left once the new ones are held."""
        for name, address in (("agent", config.agent), ("http", config.http)):
            held = self._listening.get(name)
            if held and held[0] == address:
                continue
            host, port = split_address(address, name)
            if name == "agent":
                server: Any = await self._loop.create_server(self.agent.protocol, host, port, backlog=1024)
            else:
                server = await asyncio.start_server(self._pages.serve, host, port, limit=MAX_HEAD)
            self._listening[name] = (address, server)
            if held:
                held[1].close()

    async def reload(self) -> None:
        """Read the file again; one that is bad changes nothing."""
        async with self._reloading:
            try:
                config = load(self._path)
                await self.listen(config)
                self.fleet.apply(config)
                self._error = ""
                say(f"{self._path}: read again, {len(config.servers)} servers")
            except (ConfigError, OSError) as error:
                self._error = str(error)
                say(f"{error}; what was read before stays")

    async def close(self) -> None:
        """Stop listening, end every probe."""
        for _, server in self._listening.values():
            server.close()
        await self.fleet.close()

    def _metrics(self) -> tuple[str, str]:
        heard = {each.path: not each.error for each in self.fleet.sockets}
        text = metrics(list(self.fleet.watched.values()), self.agent.said, heard, not self._error, self._loop.time())
        return "text/plain; version=0.0.4", text

    def _status(self) -> tuple[str, str]:
        now, config = self._loop.time(), self.fleet.config
        return as_json(
            {
                "program": self._program,
                "config": {"path": self._path, "sha256": config.digest, "error": self._error},
                "uptime_s": round(now - self._began, 3),
                "haproxy": [
                    {"socket": each.path, "error": each.error, "age_s": each.read_at and round(now - each.read_at, 3)}
                    for each in self.fleet.sockets
                ],
                "servers": [watched.status(now) for watched in self.fleet.watched.values()],
                "restarts": list(self.fleet.outbox.recent),
            }
        )


def _digest(path: str) -> str:
    """Of the zip that runs, so that the running program can be compared with the one that is declared."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


async def _alive() -> None:
    """Ping systemd's watchdog at half its time: a loop that stands still is ended."""
    every_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    while every_s:
        notify("WATCHDOG=1")
        await asyncio.sleep(every_s)


async def run(path: str, config: Config) -> None:
    """Until SIGTERM or SIGINT."""
    loop, end = asyncio.get_event_loop(), asyncio.Event()
    prober = Prober(path, config)
    tasks = {asyncio.ensure_future(_alive())}
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end.set)

    def again() -> None:
        task = asyncio.ensure_future(prober.reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, again)
    try:
        await prober.listen(config)
        say(f"{path}: {len(config.servers)} servers; agent on {config.agent}, pages on {config.http}")
        notify("READY=1")
        await end.wait()
        notify("STOPPING=1")
    finally:
        for task in tasks:
            task.cancel()
        await prober.close()


def main() -> None:
    """`prober CONFIG`; with `--check` only read the file."""
    parser = argparse.ArgumentParser(prog="inferfleet-prober", description="Says HAProxy which engines give tokens.")
    parser.add_argument("config")
    parser.add_argument("--check", action="store_true", help="read the file, say what is wrong with it, end")
    told = parser.parse_args()
    try:
        config = load(told.config)
        if not told.check:
            asyncio.run(run(told.config, config))
    except (ConfigError, OSError) as error:
        sys.exit(str(error))
