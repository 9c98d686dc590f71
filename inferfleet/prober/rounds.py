"""When each server is probed: one probe at a time for each, so many that begin at once, spread over time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from inferfleet.prober import ollama, openai
from inferfleet.prober.config import Config, Server
from inferfleet.prober.counters import Row, Socket
from inferfleet.prober.outbox import Outbox
from inferfleet.prober.results import WELL, Progress, Result, Unwell
from inferfleet.prober.watched import Watched

PROBES: dict[str, Callable[[Server, Progress, Callable[[], float], bool], Awaitable[Result]]] = {
    "ollama": ollama.probe,
    "openai": openai.probe,
}
# A wait that ends so much later than it should says that this host, or this program, stood still.
STOOD_S = 0.5
# What an engine that is broken, or no engine at all, makes of an answer.
ODD = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, RecursionError)


class Fleet:
    """All servers of the gateway. `say` takes a line for the journal."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._say = say
        self._now = asyncio.get_event_loop().time
        self.watched: dict[str, Watched] = {}
        self.sockets: list[Socket] = []
        self._tasks: dict[str, asyncio.Future[None]] = {}
        self.outbox = Outbox("", say)
        self.apply(config)
        self._poller = asyncio.ensure_future(self._poll())

    def apply(self, config: Config) -> None:
        """Take a file; the state of servers that are the same stays."""
        self.config = config
        self._gate = asyncio.Semaphore(config.at_once)
        known = {socket.path: socket for socket in self.sockets}
        self.sockets = [known.get(path) or Socket(path) for path in config.stats]
        if self.outbox.path != config.outbox:
            self.outbox = Outbox(config.outbox, self._say)
        servers = {server.name: server for server in config.servers}
        for name, watched in list(self.watched.items()):
            if name not in servers or servers[name].same != watched.server.same:
                self._tasks.pop(name).cancel()
                del self.watched[name]
        for name, server in servers.items():
            if name in self.watched:
                self.watched[name].became(server, config.alone)
            else:
                watched = self.watched[name] = Watched(server, config.alone, self._now())
                self._tasks[name] = asyncio.ensure_future(self._watch(watched))

    async def close(self) -> None:
        """End every probe."""
        tasks = [self._poller, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _watch(self, watched: Watched) -> None:
        await asyncio.sleep(random.random() * min(1.0, watched.server.limits.every_s))
        while True:
            try:
                await self._round(watched)
            except Exception as error:  # one engine's oddity must not end the watch of it
                self._say(f"{watched.server.name}: {type(error).__name__}: {error}")
            limits = watched.server.limits
            pause = limits.every_s if watched.state in (*WELL, "busy") else limits.again_s
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    async def _round(self, watched: Watched) -> None:
        progress, began, misses = Progress(), self._now(), 0
        async with self._gate:
            began = self._now()
            asked = asyncio.ensure_future(self._asked(watched, progress))
            # The gate is for beginning: whoever is silent from here on keeps nobody else from it.
            stood = await self._wait(asked, watched.server.limits.idle_s)
        try:
            while not asked.done() and self._goes_on(watched, began, misses):
                if not stood:
                    self._note(watched, _silent(watched, progress, self._now(), began))
                    misses += watched.state == "hang"
                stood = await self._wait(asked, self._may_be_silent(watched))
            if asked.done():
                self._note(watched, _late(asked.result(), self._now() - began) if misses else asked.result())
        finally:
            asked.cancel()

    async def _wait(self, asked: asyncio.Future[Result], seconds: float) -> bool:
        """Wait for the answer; whether this host itself stood still meanwhile: then silence says nothing."""
        before = self._now()
        try:
            await asyncio.wait({asked}, timeout=seconds)
        except asyncio.CancelledError:
            asked.cancel()
            raise
        return self._now() - before > seconds + STOOD_S

    def _may_be_silent(self, watched: Watched) -> float:
        now = self._now()
        return max(watched.server.limits.idle_s, watched.patience(now) - watched.quiet(now))

    def _goes_on(self, watched: Watched, began: float, misses: int) -> bool:
        """A question stays open while a model may load (Ollama gives up a load when its client does), or wait."""
        waited_long = self._now() - began > 2 * watched.server.limits.busy_s
        return watched.state == "loading" or (misses < 2 and not waited_long)

    async def _asked(self, watched: Watched, progress: Progress) -> Result:
        server: Server = watched.server
        try:
            return await PROBES[server.engine](server, progress, self._now, watched.skips_token(self._now()))
        except Unwell as unwell:
            return unwell.result
        except ODD as error:
            return Result("other", f"{type(error).__name__}: {error}")

    def _note(self, watched: Watched, result: Result) -> None:
        now, limits = self._now(), watched.server.limits
        if watched.note(result, now):
            self._say(f"{watched.server.name}: {'up' if watched.up else f'down: {watched.why()}'}")
        if limits.restart_after_s and watched.hung_for(now) >= limits.restart_after_s:
            self.outbox.ask(watched, now)

    async def _poll(self) -> None:
        """Ask HAProxy again and again; where it does not answer, nobody knows how full a server is."""
        while True:
            told = []
            for socket in self.sockets:
                was = socket.error
                try:
                    told.append(await socket.ask(self._now()))
                except (OSError, ValueError):
                    if socket.error != was:
                        self._say(f"{socket.path}: {socket.error}; busy and idle cannot be told apart")
            self._count(told)
            await asyncio.sleep(self.config.poll_s)

    def _count(self, told: list[tuple[dict[str, Row], dict[str, Row], bool]]) -> None:
        now, whole = self._now(), bool(told) and len(told) == len(self.sockets)
        for name, watched in self.watched.items():
            found = []
            for rows, before, reloaded in told:
                if reloaded:
                    watched.traffic.reloaded(now, watched.server.limits.streams_s)
                if name in rows:
                    found.append(rows[name].in_flight)
                    if not reloaded and name in before and rows[name].flows_since(before[name]):
                        watched.flows(now)
            watched.traffic.told(sum(found) if whole and found else None)


def _late(result: Result, seconds: float) -> Result:
    """A token that came after its time is a sign of life, and too late."""
    return (
        Result("slow", f"a token after {seconds:.1f} s", False, result.first_token_s) if result.word == "ok" else result
    )


def _silent(watched: Watched, progress: Progress, now: float, began: float) -> Result:
    """What it means that no token has come until now."""
    loads = progress.awake and (progress.absent or not watched.warm)
    seconds = now - (began if watched.loads_since is None else watched.loads_since)
    if loads and seconds < watched.server.limits.load_s:
        return Result("loading", f"no token after {seconds:.0f} s, its model is not in memory yet")
    so_far = "no token" if progress.answered else "no byte"
    return Result("hang", f"{so_far} after {now - began:.1f} s", soft=not loads)
