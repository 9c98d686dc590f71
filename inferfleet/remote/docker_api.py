"""Docker's Engine API as the scripts on a host ask it; a part of those that import from it (`remote.script`).

    docker = Docker()
    docker.ask("/info")                                             an answer as JSON
    docker.ask("/containers/x", method="DELETE")
    docker.found("/images/x/json")                                  None where Docker knows no such thing
    for event in docker.follow("/images/create?fromImage=x"):       lines of progress, as they come
        ...

Paths carry no version: the daemon then speaks its newest (seen with 20.10 to 29).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

DOCKER_SOCKET = "/var/run/docker.sock"


class DockerError(Exception):
    """One line, in Docker's own words; `status` is HTTP's, 0 where Docker was not reached or broke off."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(" ".join(text.split()))
        self.status = status


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket that has a path."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def refusal(text: str) -> str:
    """What a refusal says."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["message"])
    return text


class Docker:
    """The daemon behind one socket. Each request has a connection of its own."""

    def __init__(self, path: str = DOCKER_SOCKET, timeout: float = 60) -> None:
        self.path, self.timeout = path, timeout

    def call(
        self,
        path: str,
        body: Any = None,
        method: str | None = None,
        timeout: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """The open answer.

        Args:
            path: with its query; see `docker_path`.
            body: None, a file or an iterator of bytes (sent as a tar, in chunks), or anything else as JSON.
            method: GET without a body, POST with one, where it is not said.
            timeout: seconds of silence after which it is given up.
            headers: more of them.
        """
        stream = hasattr(body, "read") or hasattr(body, "__next__")
        data = body if body is None or stream else json.dumps(body).encode()
        sent = {} if body is None else {"Content-Type": "application/x-tar" if stream else "application/json"}
        sent.update(headers or {})
        connection = SocketConnection(self.path, timeout or self.timeout)
        try:
            # What it has answered before it read all says why it did not.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method or ("GET" if body is None else "POST"), path, data, sent)
            answer = connection.getresponse()
            if answer.status < 400:
                return answer
            text = answer.read().decode("utf-8", "replace")
        except BaseException as error:
            connection.close()
            if not isinstance(error, (OSError, http.client.HTTPException)):
                raise
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DockerError(f"Docker at {self.path} cannot be reached: {why}") from error
        connection.close()
        raise DockerError(refusal(text) or f"answers {answer.status} {answer.reason}", answer.status)

    def ask(self, path: str, body: Any = None, method: str | None = None, timeout: float | None = None) -> Any:
        """The whole answer as JSON; None where it is empty."""
        try:
            with self.call(path, body, method, timeout) as answer:
                text = answer.read()
            return json.loads(text) if text.strip() else None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DockerError(f"Docker at {self.path} broke off its answer to {path}: {error}") from error

    def found(self, path: str) -> Any:
        """As `ask`; None where Docker knows no such thing."""
        try:
            return self.ask(path)
        except DockerError as error:
            if error.status != 404:
                raise
            return None

    def follow(
        self, path: str, body: Any = None, timeout: float = 900, headers: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """A POST whose answer is lines of progress. The status is 200 whatever happens: a line with `error` ends it."""
        try:
            with self.call(path, body, "POST", timeout, headers) as answer:
                for line in answer:
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if "error" in event:
                        raise DockerError(str(event["error"]))
                    yield event
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DockerError(f"Docker at {self.path} broke off: {error}") from error


def docker_runs() -> bool:
    """Whether the daemon runs. Who only looks asks nothing of one that does not: its socket would start it."""
    try:
        return subprocess.run(["systemctl", "is-active", "--quiet", "docker.service"]).returncode == 0
    except FileNotFoundError:
        return False


def docker_path(path: str, **query: str) -> str:
    """The path with a query; values that are JSON (`filters`) are given as text."""
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f"{path}?{asked}" if asked else path
