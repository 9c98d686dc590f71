"""A double of Docker: HTTP on a socket with a path, and answers that a test lays down."""

import json
import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

Answer = int | dict[str, Any] | list[Any] | bytes | Callable[[BaseHTTPRequestHandler, bytes], None]


class DockerDouble:
    """Routes -> answers: JSON or bytes with status 200, a number as a bare status, or a function that does as it likes.

    Attributes:
        path: of the socket.
        routes: `"METHOD /path?query"` or `"METHOD /path"` -> answer; what is not there is 404, as Docker says it.
        early: `"METHOD /path"` -> the message of an error that is given before the request's body is read.
        asked: `(method, path with query, body)` of every request so far.
        headers: of every request so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.routes: dict[str, Answer] = {}
        self.early: dict[str, str] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self._server = _Server(str(path), _handler(self))
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def paths(self) -> list[str]:
        """Method and path of every request so far."""
        return [f"{method} {path}" for method, path, _ in self.asked]

    def answer_other(self, handler: BaseHTTPRequestHandler, method: str, path: str) -> None:
        """What no route was laid down for."""
        reply(handler, 404, {"message": f"no such thing: {path}"})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("docker", 0)

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are what tests are about."""


def reply(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    """A whole answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


def lines(*events: dict[str, Any]) -> bytes:
    """Progress as Docker writes it."""
    return b"".join(json.dumps(event).encode() + b"\r\n" for event in events)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline(), 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


def _handler(docker: DockerDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.close_connection = True
            key = f"{self.command} {self.path}"
            if message := docker.early.get(key.partition("?")[0]):
                reply(self, 500, {"message": message})
                return
            body = _body(self)
            docker.asked.append((self.command, self.path, body))
            docker.headers.append(dict(self.headers))
            found = docker.routes.get(key, docker.routes.get(key.partition("?")[0]))
            if found is None:
                docker.answer_other(self, self.command, self.path)
                return
            if callable(found):
                found(self, body)
            elif isinstance(found, int):
                reply(self, found, b"")
            else:
                reply(self, 200, found)

        do_GET = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
