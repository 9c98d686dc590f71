"""One HTTP/1.1 request on a connection of its own, its answer line by line; nothing blocks, nothing grows."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from inferfleet.prober.config import split_address
from inferfleet.prober.results import Progress, Unwell

MAX_BODY = 1 << 20


class Answer:
    """Status and body of an open answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self._reader, self._writer = reader, writer
        self._chunked = False
        self._left: int | None = None  # bytes to come, where the answer said how many
        self._kept = b""
        self._read = 0
        self._ended = False

    async def head(self) -> None:
        """Read status and headers."""
        words = (await self._reader.readline()).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Unwell("other", "does not speak HTTP" if words else "closed the connection without a byte")
        self.status = int(words[1])
        for _ in range(100):
            line = (await self._reader.readline()).strip().lower()
            if not line:
                return
            name, _, value = line.partition(b":")
            if name == b"transfer-encoding":
                self._chunked = b"chunked" in value
            if name == b"content-length" and value.strip().isdigit():
                self._left = int(value)
        raise Unwell("other", "has more than 100 headers")

    async def line(self) -> bytes:
        """The next line of the body that is not blank; nothing at its end."""
        while True:
            line, newline, rest = self._kept.partition(b"\n")
            if newline or self._ended:
                self._kept = rest
                if line.strip() or (self._ended and not rest):
                    return line.strip()
                continue
            part = await self._part()
            self._read += len(part)
            if self._read > MAX_BODY:
                raise Unwell("other", f"answered with more than {MAX_BODY} bytes")
            self._kept += part
            self._ended = not part

    async def text(self) -> bytes:
        """The whole body, without its blank lines."""
        lines: list[bytes] = []
        while True:
            line = await self.line()
            if not line:
                return b"\n".join(lines)
            lines.append(line)

    async def _part(self) -> bytes:
        if self._chunked:
            size = int((await self._reader.readline()).split(b";")[0], 16)
            if size > MAX_BODY:
                raise Unwell("other", f"answered with more than {MAX_BODY} bytes")
            return (await self._reader.readexactly(size + 2))[:-2]
        part = await self._reader.read(65536 if self._left is None else min(65536, self._left))
        if self._left is not None:
            if not part and self._left:
                raise Unwell("other", "broke off its answer")
            self._left -= len(part)
        return part

    def close(self) -> None:
        """Nothing more is read, and the engine may notice."""
        self._writer.transport.abort()


async def opened(address: str, path: str, body: Any, connect_s: float, progress: Progress) -> Answer:
    """The answer with its headers read; POST where there is a body. Close it.

    Raises:
        Unwell: no connection within `connect_s`, or what answers does not speak HTTP.
    """
    progress.answered = False
    reader, writer = await _connected(address, connect_s)
    answer = Answer(reader, writer)
    try:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
        if content:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        writer.write(head.encode() + b"\r\n" + content)
        await answer.head()
        progress.answered = True
    except BaseException:
        answer.close()
        raise
    return answer


async def _connected(address: str, connect_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = split_address(address, "address")
    connecting = asyncio.ensure_future(asyncio.open_connection(host, port))
    try:
        await asyncio.wait({connecting}, timeout=connect_s)
        if connecting.done():
            return connecting.result()
        raise Unwell("refused", f"no connection within {connect_s:g} s")
    except OSError as error:
        raise Unwell("refused", os.strerror(error.errno) if error.errno else str(error)) from error
    finally:
        # asyncio.wait_for of Python 3.8 may lose a connection that is made while it gives up.
        connecting.cancel()
