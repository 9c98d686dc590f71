"""Doubles: an engine that can fail in every way that matters, and HAProxy's stats socket. Neither is the real thing.

What the real ones do is held against these in `test_real_ollama` and `test_haproxy`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

MODEL = "tiny:latest"


class EngineDouble:
    """Speaks as Ollama and as OpenAI do, with one slot; `mode` says how it fails, and may change at any time."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.loaded: dict[str, tuple[int, int]] = {MODEL: (100, 100)}  # name -> size, size_vram
        self.token_s = 0.0  # until the first token
        self.tokens, self.gap_s = 4, 0.005  # in an answer, and from one to the next
        self.load_s = 0.0  # until a model is in memory
        self.raw = b""  # mode raw: what is answered, and then the end
        self.asked: list[str] = []
        self.open = self.most_open = self.broken_off = 0
        self.bodies: list[dict[str, Any]] = []
        self.port = 0
        self._slot = asyncio.Semaphore(1)
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def gone(self) -> None:
        """As after kill -9: nothing listens, and what was open is reset."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._connections):
            writer.transport.abort()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Somebody else has the only slot."""
        async with self._slot:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b"{}"
            path = head.split()[1].decode()
            self.asked.append(path)
            answering = asyncio.ensure_future(self._answer(path, json.loads(body), writer))
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            self.broken_off += not answering.done()
            answering.cancel()
            leaving.cancel()
        except (OSError, EOFError):
            pass
        finally:
            self.open -= 1
            self._connections.discard(writer)
            writer.transport.close() if self.mode in ("ok", "raw") else writer.close()

    async def _answer(self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            await asyncio.sleep(3600)
        if self.mode == "raw":
            writer.write(self.raw)
        elif path == "/api/ps":
            models = [{"name": name, "size": size, "size_vram": vram} for name, (size, vram) in self.loaded.items()]
            _whole(writer, 200, {"models": models})
        else:
            self.bodies.append(body)
            await self._generate(path, body, writer)
        await writer.drain()

    async def _generate(self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        errors = {"500": "cuda error", "503": "server busy", "404": "model 'x' not found", "loading": "Loading model"}
        if self.mode in errors:
            status = 503 if self.mode == "loading" else int(self.mode)
            openai = {"message": errors[self.mode], "code": status}
            _whole(writer, status, {"error": errors[self.mode] if path.startswith("/api") else openai})
            return
        async with self._slot:
            if self.mode == "frozen":  # the API lives, its model does not
                await asyncio.sleep(3600)
            if body["model"] not in self.loaded:
                await asyncio.sleep(self.load_s)
                self.loaded[body["model"]] = (100, 100)
            await asyncio.sleep(self.token_s)
            await self._tokens(path, 0 if self.mode == "empty" else self.tokens, writer)

    async def _tokens(self, path: str, count: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if path in ("/api/embed", "/v1/embeddings"):
            vectors = [[0.5]] if count else []
            _chunk(writer, {"embeddings": vectors, "data": [{"embedding": vector} for vector in vectors]}, "")
            writer.write(b"0\r\n\r\n")
            return
        ollama = path.startswith("/api")
        for n in range(count):
            if n:
                await asyncio.sleep(self.gap_s)
            text = {"response": f"t{n}", "done": False}
            _chunk(
                writer, text if ollama else {"choices": [{"delta": {"content": f"t{n}"}}]}, "" if ollama else "data: "
            )
        if ollama:
            _chunk(writer, {"response": "", "done": True, **({"eval_count": count} if count else {})}, "")
        else:
            _chunk(writer, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, "data: ")
            _chunk(writer, None, "data: [DONE]")
        writer.write(b"0\r\n\r\n")


def _chunk(writer: asyncio.StreamWriter, event: Any, before: str) -> None:
    text = before + ("" if event is None else json.dumps(event)) + "\n\n"
    writer.write(f"{len(text):x}\r\n{text}\r\n".encode())


def _whole(writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    text = json.dumps(body)
    writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


class StatsDouble:
    """HAProxy's stats socket: rows as CSV, after what `show info` says."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pid = 1
        self.rows: dict[str, dict[str, int]] = {}
        self._server: asyncio.AbstractServer | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    def close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"show info;show stat -1 4 -1\n"
        names = ("scur", "bout", "hrsp_2xx", "hrsp_4xx", "hrsp_5xx")
        lines = ["Name: HAProxy", f"Pid: {self.pid}", "", f"# pxname,svname,{','.join(names)},"]
        for name, row in self.rows.items():
            lines.append(f"{name.replace('/', ',')},{','.join(str(row.get(n, 0)) for n in names)},")
        writer.write("\n".join([*lines, "", ""]).encode())
        writer.close()
