"""Restarts that are asked for: lines in a file. Nobody here can do them; a person or the controller may."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from inferfleet.prober.watched import Watched

MAX_FILE = 256 * 1024


class Outbox:
    """Appends to a file of JSON lines; what it held when it was full is kept beside it as `.1`."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self.path, self._say = path, say
        self.recent: deque[dict[str, Any]] = deque(maxlen=20)
        self._asked_at: dict[str, float] = {}
        self._before = _read(path)

    def ask(self, watched: Watched, now: float) -> None:
        """Ask for a restart, unless the same was asked for within `restart_every_s`."""
        server, every_s = watched.server, watched.server.limits.restart_every_s
        # What an earlier run of the prober asked for has a time of day alone; one in the future counts as none.
        ago = time.time() - self._before.get(server.name, 0.0)
        if now - self._asked_at.get(server.name, -every_s) < every_s or 0 <= ago < every_s:
            return
        self._asked_at[server.name] = now
        line = {
            "time": round(time.time(), 3),
            "restart": server.name,
            "address": server.address,
            "why": watched.why(),
            "hangs_s": round(watched.hung_for(now), 1),
        }
        self.recent.append(line)
        self._say(f"{server.name}: hangs for {line['hangs_s']} s: a restart is asked for")
        if self.path:
            asyncio.get_event_loop().run_in_executor(None, self._write, json.dumps(line) + "\n")

    def _write(self, line: str) -> None:
        try:
            if os.path.exists(self.path) and os.path.getsize(self.path) > MAX_FILE:
                os.replace(self.path, self.path + ".1")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            self._say(f"{self.path}: {error.strerror}; the line was {line.strip()}")


def _read(path: str) -> dict[str, float]:
    """Server -> when a restart of it was last asked for, by the time of day."""
    found = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return {}
    for line in lines:
        # What a power cut left of a line is no line.
        with contextlib.suppress(ValueError, LookupError, TypeError):
            asked = json.loads(line)
            found[str(asked["restart"])] = float(asked["time"])
    return found
