"""A prober in the test's own loop, with limits of tenths of seconds."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inferfleet.prober.config import Config, parse
from inferfleet.prober.rounds import Fleet
from tests.prober.engine_double import MODEL, EngineDouble, StatsDouble

# Tenths of seconds, so that a test ends soon, and wide enough apart for a busy machine.
FAST = {
    "every_s": 0.1, "again_s": 0.05, "connect_s": 1, "idle_s": 0.3, "work_s": 0.6, "busy_s": 1.5, "load_s": 30,
    "hold_s": 0.1,
}  # fmt: skip


def config(*servers: dict[str, Any], **top: Any) -> Config:
    return parse(document(*servers, **top))


def document(*servers: dict[str, Any], limits: dict[str, Any] | None = None, **top: Any) -> bytes:
    return json.dumps({"limits": {**FAST, **(limits or {})}, "servers": servers, "poll_s": 0.05, **top}).encode()


def server(address: str, name: str = "m/s", engine: str = "ollama", **more: Any) -> dict[str, Any]:
    backend, _, own = name.partition("/")
    return {"backend": backend, "server": own, "address": address, "engine": engine, "model": MODEL, **more}


async def until(holds: Callable[[], Any], seconds: float = 8.0) -> None:
    """Wait until it holds."""
    end = asyncio.get_running_loop().time() + seconds
    while not holds():
        if asyncio.get_running_loop().time() > end:
            pytest.fail("did not come true in time")
        await asyncio.sleep(0.01)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room: a socket's path may have 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="p-") as path:
        yield Path(path)


class Stage:
    """A fleet of one engine, and what HAProxy says of it."""

    def __init__(self, engine: EngineDouble, stats: StatsDouble) -> None:
        self.engine, self.stats = engine, stats
        self.said: list[str] = []
        self.fleet: Fleet

    def start(self, **more: Any) -> None:
        top = {name: more.pop(name) for name in ("limits", "alone", "outbox", "at_once") if name in more}
        settings = config(server(self.engine.address, **more), stats=[self.stats.path], **top)
        self.fleet = Fleet(settings, self.said.append)

    def traffic(self, **row: int) -> None:
        self.stats.rows["m/s"] = {**self.stats.rows.get("m/s", {}), **row}

    @property
    def one(self) -> Any:
        return self.fleet.watched["m/s"]

    async def down(self, word: str) -> None:
        await until(lambda: self.one.up is False and self.one.trouble.word == word)

    async def up(self) -> None:
        await until(lambda: self.one.up is True)


@asynccontextmanager
async def stage(short: Path) -> AsyncIterator[Stage]:
    engine, stats = EngineDouble(), StatsDouble(str(short / "stats.sock"))
    await engine.listen()
    await stats.listen()
    made = Stage(engine, stats)
    made.traffic(scur=0)
    try:
        yield made
    finally:
        await made.fleet.close()
        await engine.gone()
        stats.close()
