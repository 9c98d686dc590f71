r"""What HAProxy's `agent-check` is answered: `agent-send "BACKEND/SERVER\n"`, one question for each connection.

Only `up` and `down #why` are said (HAProxy 3.0, `agent-check`): `ready` would end a drain that an operator began. Of a
server that is not known, or not known yet, nothing is said: HAProxy then keeps the state it has.
"""

from __future__ import annotations

import asyncio
from typing import Any

from inferfleet.prober.watched import Watched

QUESTION_S = 2.0
MAX_QUESTION = 512
MAX_OPEN = 8192


class Agent:
    """Answers from what is known; counts what it said."""

    def __init__(self, watched: dict[str, Watched]) -> None:
        self._watched = watched
        self.open = 0
        self.said = {"up": 0, "down": 0, "nothing": 0, "unknown": 0}

    def answer(self, question: str) -> bytes:
        """The line for one server; nothing where there is nothing to say."""
        watched = self._watched.get(question)
        if watched is None or watched.up is None:
            self.said["unknown" if watched is None else "nothing"] += 1
            return b""
        self.said["up" if watched.up else "down"] += 1
        return b"up\n" if watched.up else f"down #{watched.why()}\n".encode()

    def protocol(self) -> Question:
        """For one connection."""
        return Question(self)


class Question(asyncio.Protocol):
    """One connection: a line, an answer, the end."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self._line = agent, b""

    def connection_made(self, transport: Any) -> None:
        """Give it so long to ask."""
        self._transport = transport
        self._agent.open += 1
        self._timer = asyncio.get_event_loop().call_later(QUESTION_S, transport.abort)
        if self._agent.open > MAX_OPEN:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer once the line is whole."""
        self._line += data
        line, newline, _ = self._line.partition(b"\n")
        if newline and not self._transport.is_closing():
            self._transport.write(self._agent.answer(line.decode("utf-8", "replace").strip()))
            self._transport.close()
        elif len(self._line) > MAX_QUESTION:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever ended it."""
        self._agent.open -= 1
        self._timer.cancel()
