"""A DOUBLE of an engine or of an external provider, with faults: no model, no GPU; it answers as asked, or fails so.

Speaks OpenAI's /v1/chat/completions (JSON and SSE), /v1/completions, /v1/embeddings and Ollama's /api/chat (NDJSON),
/api/generate, and answers 200 to anything else, so that a path that gets through to it is seen.

In one thread of the test's process, over asyncio; faults are attributes that a test sets while it runs.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    aborted: bool = False
    done: bool = False


@dataclass
class EngineDouble:
    """The double itself.

    Attributes:
        mode: `ok`, `hang` (reads, says nothing), `hang_mid`, `cut_first` (resets before any byte), `cut` (resets in the
            middle), `refuse` (closes its socket), `garbage`, or a status such as `500` or `429`.
        delay: seconds until the first byte.
        gap: seconds between tokens.
        tokens: how many.
        need: the key that it wants, as a provider does; else None.
    """

    name: str
    tls: ssl.SSLContext | None = None
    need: str | None = None
    mode: str = "ok"
    delay: float = 0.0
    gap: float = 0.0
    tokens: int = 4
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    now: int = 0
    peak: int = 0
    models: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._open: set[asyncio.StreamWriter] = set()

    def start(self, loop: asyncio.AbstractEventLoop) -> "EngineDouble":
        self._loop = loop
        asyncio.run_coroutine_threadsafe(self._listen(), loop).result(5)
        return self

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """As after kill -9: nothing listens, and what was open is gone."""

        async def end() -> None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)

    def back(self) -> None:
        """Listens again, after `stop`, on the same port."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    def reset(self) -> None:
        """As new, but for its port."""
        self.mode, self.delay, self.gap, self.tokens, self.peak = "ok", 0.0, 0.0, 4, 0
        self.seen.clear()
        self.models.clear()

    @property
    def asked(self) -> int:
        return len(self.seen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        self._open.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines if line)}
        body = await self._body(reader, headers)
        seen = Seen(method, path, headers, body)
        self.seen.append(seen)
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            answer = asyncio.ensure_future(self._answer(seen, writer))
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                seen.aborted = True
                answer.cancel()
                return False
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            seen.done = bool(answer.result())
            return seen.done
        finally:
            self.now -= 1

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            found = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                found += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
            return found
        return await reader.readexactly(int(headers.get("content-length", 0)))

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        mode = self.mode
        if self.need is not None and seen.headers.get("authorization") != f"Bearer {self.need}":
            return await self._whole(writer, 401, {"error": {"message": "wrong key at the provider"}})
        if mode.isdigit():
            return await self._whole(writer, int(mode), {"error": {"message": f"{self.name} says {mode}"}})
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode in ("cut_first", "refuse"):
            return _reset(writer)
        await asyncio.sleep(self.delay)
        if mode == "garbage":
            writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            await writer.drain()
            return False
        asked = json.loads(seen.body or b"{}")
        self.models[asked.get("model")] += 1
        ollama = seen.path.startswith("/api/")
        if asked.get("stream", ollama):
            return await self._stream(writer, asked, ollama)
        await asyncio.sleep(self.gap * self.tokens)
        said = " ".join(f"t{n}" for n in range(self.tokens))
        message = {"role": "assistant", "content": said}
        openai = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return await self._whole(
            writer, 200, {"model": asked.get("model"), **({"message": message, "done": True} if ollama else openai)}
        )

    async def _stream(self, writer: asyncio.StreamWriter, asked: dict[str, Any], ollama: bool) -> bool:
        kind = "application/x-ndjson" if ollama else "text/event-stream"
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Double: {self.name}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for n in range(self.tokens):
            if n == self.tokens // 2 and self.mode == "cut":
                return _reset(writer)
            if n == self.tokens // 2 and self.mode == "hang_mid":
                await asyncio.sleep(3600)
            token = {"model": asked.get("model"), "message": {"role": "assistant", "content": f"t{n}"}, "done": False}
            event = {"model": asked.get("model"), "choices": [{"index": 0, "delta": {"content": f"t{n}"}}]}
            text = json.dumps(token) + "\n" if ollama else f"data: {json.dumps(event)}\n\n"
            await _chunk(writer, text)
            await asyncio.sleep(self.gap)
        await _chunk(
            writer,
            '{"message": {"role": "assistant", "content": ""}, "done": true}\n' if ollama else "data: [DONE]\n\n",
        )
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _whole(self, writer: asyncio.StreamWriter, status: int, data: Any) -> bool:
        body = json.dumps(data).encode()
        writer.write(
            f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nX-Double: {self.name}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        return True


async def _chunk(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


class Doubles:
    """An event loop in a thread of its own, in which all doubles of a test live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def engine(self, name: str, **settings: Any) -> EngineDouble:
        return EngineDouble(name, **settings).start(self.loop)

    def close(self) -> None:
        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()
