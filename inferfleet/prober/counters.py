"""What HAProxy counts for each server, over its stats socket: `level user` shows it and changes nothing (3.0)."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import dataclass

MAX_ANSWER = 16 << 20
ANSWER_S = 5.0
# An error answer of an engine is shorter, headers and all.
ERROR_BYTES = 2048


@dataclass(frozen=True)
class Row:
    """One server in one process of HAProxy."""

    in_flight: int
    bytes_out: int
    good: int  # answers 2xx, counted when their headers are there
    bad: int  # answers 4xx and 5xx

    def flows_since(self, before: Row) -> bool:
        """Bytes came that are no mere error answers."""
        grew = self.bytes_out - before.bytes_out
        return grew > 0 and (self.good > before.good or grew > ERROR_BYTES * (self.bad - before.bad))


class Socket:
    """One process's socket: its last answer, and what it was before."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pid = ""
        self.rows: dict[str, Row] = {}
        self.read_at: float | None = None
        self.error = "not asked yet"

    async def ask(self, now: float) -> tuple[dict[str, Row], dict[str, Row], bool]:
        """Rows now, rows before, and whether another process answers; raises OSError or ValueError."""
        try:
            pid, rows = read(await _answer(self.path))
        except (OSError, ValueError) as error:
            self.error = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise
        before, reloaded = self.rows, bool(self.pid) and pid != self.pid
        self.pid, self.rows, self.read_at, self.error = pid, rows, now, ""
        return rows, before, reloaded


def read(text: str) -> tuple[str, dict[str, Row]]:
    """The worker's process id and a row for each `backend/server`; ValueError where the text is something else."""
    info, mark, table = text.partition("# pxname,")
    pids = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("Pid:")]
    if not mark or not pids:
        raise ValueError("does not answer as HAProxy")
    try:
        return pids[0], dict(map(_row, csv.DictReader(io.StringIO("pxname," + table))))
    except (csv.Error, LookupError, TypeError) as error:
        raise ValueError(f"its table of servers cannot be read: {error}") from error


def _row(row: dict[str, str]) -> tuple[str, Row]:
    numbers = [int(row.get(name) or 0) for name in ("scur", "bout", "hrsp_2xx", "hrsp_4xx", "hrsp_5xx")]
    in_flight, bytes_out, good, refused, failed = numbers
    return f"{row['pxname']}/{row['svname']}", Row(in_flight, bytes_out, good, refused + failed)


async def _answer(path: str) -> str:
    asking = asyncio.ensure_future(_whole(path))
    try:
        await asyncio.wait({asking}, timeout=ANSWER_S)
        if not asking.done():
            raise ValueError(f"no answer within {ANSWER_S:g} s")
        return asking.result()
    finally:
        asking.cancel()


async def _whole(path: str) -> str:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        # Type 4: servers, without frontends and backends.
        writer.write(b"show info;show stat -1 4 -1\n")
        parts: list[bytes] = []
        size = 0
        while True:
            part = await reader.read(65536)
            size += len(part)
            if size > MAX_ANSWER:
                raise ValueError(f"more than {MAX_ANSWER} bytes")
            if not part:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(part)
    finally:
        writer.transport.abort()
