"""`/metrics` for Prometheus and `/status` as JSON, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from inferfleet.prober.watched import Watched

ASK_S = 5.0
MAX_OPEN = 32
MAX_HEAD = 8192


def metrics(
    watched: list[Watched], agent: dict[str, int], sockets: dict[str, bool], config_ok: bool, now: float
) -> str:
    """The text format 0.0.4 of Prometheus."""
    lines: list[str] = []
    for name, kind, explained, samples in _families(watched, agent, sockets, config_ok, now):
        lines += [f"# HELP inferfleet_prober_{name} {explained}", f"# TYPE inferfleet_prober_{name} {kind}"]
        lines += [f"inferfleet_prober_{name}{_labels(labels)} {value:.17g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _families(
    watched: list[Watched], agent: dict[str, int], sockets: dict[str, bool], config_ok: bool, now: float
) -> list[tuple[str, str, str, list[tuple[dict[str, str], float]]]]:
    def each(value: Callable[[Watched], Any]) -> list[tuple[dict[str, str], float]]:
        found = [(_names(one), value(one)) for one in watched]
        return [(names, float(number)) for names, number in found if number is not None]

    states = [(dict(_names(one), state=one.state), 1.0) for one in watched if one.state]
    probes = [(dict(_names(one), result=word), float(count)) for one in watched for word, count in one.counts.items()]
    said = [({"answer": word}, float(count)) for word, count in agent.items()]
    heard = [({"socket": path}, float(well)) for path, well in sockets.items()]
    return [
        ("up", "gauge", "1 where HAProxy is told up, 0 where down; absent where nothing is known.", each(_up)),
        ("state", "gauge", "The last finding.", states),
        ("first_token_seconds", "gauge", "Of the last probe that gave one.", each(lambda one: one.first_token_s)),
        ("tokens_per_second", "gauge", "Of the last probe that gave several.", each(lambda one: one.tokens_per_s)),
        ("life_seconds", "gauge", "Since the last token or byte.", each(lambda one: _age(one.life_at, now))),
        ("in_flight", "gauge", "Requests, as HAProxy counts them.", each(lambda one: one.traffic.in_flight)),
        ("probes_total", "counter", "By what they found.", probes),
        ("flips_total", "counter", "Changes between up and down.", each(lambda one: one.damper.flips)),
        ("agent_questions_total", "counter", "Of HAProxy's agent-check, by answer.", said),
        ("haproxy_heard", "gauge", "1 where the stats socket answers.", heard),
        ("config_good", "gauge", "0 where the last file was refused.", [({}, float(config_ok))]),
    ]


def _up(one: Watched) -> bool | None:
    return one.up


def _names(one: Watched) -> dict[str, str]:
    return {"backend": one.server.backend, "server": one.server.server}


def _age(then: float | None, now: float) -> float | None:
    return None if then is None else now - then


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = {
        name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, text in labels.items()
    }
    return "{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + "}"


def as_json(status: dict[str, Any]) -> tuple[str, str]:
    """A page of JSON."""
    return "application/json", json.dumps(status, indent=1) + "\n"


class Pages:
    """A small HTTP server: GET, one request for each connection, bounded in number, size and time."""

    def __init__(self, pages: dict[str, Callable[[], tuple[str, str]]]) -> None:
        # Path -> content type and text, made anew for each request.
        self._pages = pages
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._open += 1
        exchange = asyncio.ensure_future(self._exchange(reader, writer))
        try:
            if self._open <= MAX_OPEN:
                await asyncio.wait({exchange}, timeout=ASK_S)
        finally:
            self._open -= 1
            exchange.cancel()
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(head.split(b"\r\n", 1)[0]))
            writer.write_eof()
            await reader.read(1)  # until the client has read it all and closes, or its time is up
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            return

    def _answer(self, request: bytes) -> bytes:
        words = request.decode("ascii", "replace").split()
        page = self._pages.get(words[1]) if len(words) == 3 and words[0] == "GET" else None
        kind, text = page() if page else ("text/plain", f"{', '.join(self._pages)}\n")
        body = text.encode()
        head = f"HTTP/1.1 {'200 OK' if page else '404 Not Found'}\r\nContent-Type: {kind}; charset=utf-8\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
