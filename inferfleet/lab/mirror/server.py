"""Serve the mirror: `python -m inferfleet.lab.mirror.server --bind ADDR --port 80 --root DIR`.

Files below the root and nothing else: no listing, no hidden files, no way out. Each request ends as
one line of JSON on standard error.
"""

import io
import json
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

import click

from inferfleet.lab.mirror.byterange import Unsatisfiable, parse_range
from inferfleet.lab.mirror.registry import MANIFEST_TYPE

CHUNK: Final = 1 << 18
TYPES: Final = {".zst": "application/zstd", ".txt": "text/plain; charset=utf-8", ".json": "application/json"}


class MirrorServer(ThreadingHTTPServer):
    """Serves one directory.

    Args:
        bind: IPv4 address to listen on.
        port: 0 for any free one; `server_port` then says which.
        root: what is served.
        slow: bytes per second and connection; 0 for no limit.
    """

    daemon_threads = True

    def __init__(self, bind: str, port: int, root: Path, slow: int = 0) -> None:
        self.root = root.resolve()
        self.slow = slow
        super().__init__((bind, port), _Handler)


def find_file(root: Path, target: str) -> Path | None:
    """The file that a request target stands for; None if there is none that may be seen.

    Args:
        root: resolved directory; nothing outside of it is ever given, by whatever links.
        target: as in the request line, still percent-encoded.
    """
    # apt asks for "./" in a flat repository; any server takes it out (RFC 3986, 5.2.4).
    parts = [part for part in unquote(urlsplit(target).path).split("/")[1:] if part != "."]
    if any(part in ("", "..") or part.startswith(".") or "\0" in part for part in parts):
        return None
    try:
        path = root.joinpath(*parts).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, RuntimeError):  # a name too long for the file system; a loop of links (until Python 3.12)
        return None


class _Handler(BaseHTTPRequestHandler):
    server: MirrorServer
    protocol_version = "HTTP/1.1"
    server_version = "inferfleet-mirror"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        began = time.monotonic()
        self.sent = 0
        self.status = HTTPStatus.OK
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the client went away: a broken download, not our mistake
        finally:
            self._log(time.monotonic() - began)

    do_HEAD = do_GET

    def _answer(self) -> None:
        if urlsplit(self.path).path == "/v2/":
            self._send_small(HTTPStatus.OK, b"{}")
        elif path := find_file(self.server.root, self.path):
            with path.open("rb") as file:
                self._send_file(file, path)
        else:
            self._send_small(HTTPStatus.NOT_FOUND, b'{"errors": [{"code": "NOT_FOUND"}]}')

    def _send_small(self, status: HTTPStatus, body: bytes, content_range: str = "") -> None:
        self._head(status, len(body), "application/json", content_range)
        self._copy(io.BytesIO(body), len(body))

    def _send_file(self, file: BinaryIO, path: Path) -> None:
        size = file.seek(0, io.SEEK_END)
        try:
            # If-Range needs a validator and we give none: the whole file is then the right answer.
            wanted = None if "If-Range" in self.headers else parse_range(self.headers["Range"], size)
        except Unsatisfiable:
            self._send_small(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"{}", f"bytes */{size}")
            return
        start, end = wanted or (0, size - 1)
        content_range = f"bytes {start}-{end}/{size}" if wanted else ""
        status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
        self._head(status, end - start + 1, _content_type(path), content_range)
        file.seek(start)
        self._copy(file, end - start + 1)

    def _head(self, status: HTTPStatus, length: int, content_type: str, content_range: str) -> None:
        self.status = status
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", content_type)
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        path = urlsplit(self.path).path
        if path.startswith("/v2/") and "/blobs/" in path:
            # Ollama (0.32.15, server/download.go) wants to be told where a blob is, even with 200.
            self.send_header("Location", path)
        self.end_headers()

    def _copy(self, file: BinaryIO, length: int) -> None:
        if self.command == "HEAD":
            return
        slow = self.server.slow
        step = max(slow // 10, 1) if slow else CHUNK
        while self.sent < length and (chunk := file.read(min(step, length - self.sent))):
            self.wfile.write(chunk)
            self.sent += len(chunk)
            if slow:
                time.sleep(len(chunk) / slow)

    def _log(self, seconds: float) -> None:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": self.client_address[0],
            "method": self.command,
            "path": self.path,
            "range": self.headers["Range"],
            "agent": self.headers["User-Agent"],
            "status": int(self.status),
            "bytes": self.sent,
            "seconds": round(seconds, 3),
        }
        sys.stderr.write(json.dumps(entry) + "\n")
        sys.stderr.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `_log` says it all, once and as JSON."""


def _content_type(path: Path) -> str:
    if path.parent.name == "manifests":
        return MANIFEST_TYPE
    return TYPES.get(path.suffix, "application/octet-stream")


@click.command()
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=80, show_default=True, help="TCP port; 0 takes any free one.")
@click.option("--root", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--slow", default=0, metavar="BYTES_PER_SECOND", help="Limit for each connection; 0 for none.")
def main(bind: str, port: int, root: Path, slow: int) -> None:
    """Serve an artefact mirror until killed."""
    with MirrorServer(bind, port, root, slow) as server:
        click.echo(json.dumps({"listening": f"http://{bind}:{server.server_port}/"}), err=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
