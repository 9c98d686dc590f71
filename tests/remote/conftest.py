"""A web server on this machine that says what a test tells it to, and the scripts as hosts run them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from inferfleet.remote import compact, script
from tests.remote.store import Store, digest_of

Answer = bytes | dict[str, Any] | list[Any] | int | Callable[[BaseHTTPRequestHandler], None]
Run = Callable[..., subprocess.CompletedProcess[str]]

OK = b'{"status": "pulling"}\n{"status": "success"}\n'
GGUF = b"GGUF" + b"x" * 1000


class Site:
    """Routes -> answers: bytes or JSON with status 200, a number as a bare status, or a function that does as it likes.

    Attributes:
        routes: `"METHOD /path"` or `"/path"` -> answer.
        asked: `(method, path, body)` of every request so far; a JSON body is parsed.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"
        # By default a server looks only twice a second whether it should stop.
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def paths(self) -> list[str]:
        """Method and path of every request so far."""
        return [f"{method} {path}" for method, path, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def say(handler: BaseHTTPRequestHandler, found: Any) -> None:
        """Bytes, JSON or a bare status."""
        text = found if isinstance(found, bytes) else json.dumps(found).encode()
        handler.send_response(found if isinstance(found, int) else 200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(text)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                site.asked.append((self.command, self.path, _parsed(body)))
                found = site.routes.get(f"{self.command} {self.path}", site.routes.get(self.path, 404))
                if callable(found):
                    found(self)
                    self.close_connection = True
                    return
                site.say(self, found)

            do_GET = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def ollama(site: Site) -> Site:
    """An Ollama that does all it is told, and keeps nothing in memory."""
    site.routes |= {f"POST /api/{what}": OK for what in ("pull", "create")}
    site.routes |= {"POST /api/copy": 200, "DELETE /api/delete": 200, "GET /api/ps": {"models": []}}
    site.routes |= {"POST /api/show": {"capabilities": ["completion"]}, "POST /api/generate": {"done": True}}
    site.routes[f"POST /api/blobs/{digest_of(GGUF)}"] = 201
    return site


@pytest.fixture
def run() -> Run:
    """Run a script as a host does: its text and one JSON argument."""

    def run(name: str, work: Any, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", script(name), compact(work)]
        path = environment.pop("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PATH": path, **environment}, timeout=30
        )

    return run


def cut_short(size: int, sent: bytes) -> Answer:
    """An answer that promises `size` bytes and breaks off after those sent."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        handler.wfile.write(sent)

    return answer


def chunks_cut_short(sent: bytes) -> Answer:
    """A streamed answer that breaks off in the middle of a chunk."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(sent) + 100:x}\r\n".encode() + sent)

    return answer
