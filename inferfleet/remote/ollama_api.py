"""Ollama's API as the scripts on a host ask it; a part of those that import from it (`remote.script`)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

ANSWER_S = 300
# Ollama is silent while it hashes or loads a model, for an hour where 400 GB lie on a slow disk; and it gives up a load
# when its client does. What stalls it ends itself (OLLAMA_LOAD_TIMEOUT; a part of a download after 30 s).
PATIENCE_S = 4 * 3600
# This host itself is never asked through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
BROKEN_OFF = (OSError, ValueError, http.client.HTTPException)


class Failed(Exception):
    """One line for the user."""


def say(text: str) -> None:
    """One line for the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def call(address: str, path: str, body: Any = None, method: str | None = None, timeout: int = ANSWER_S) -> Any:
    """The open answer of Ollama's API; its own words where it refuses."""
    data = body if body is None or isinstance(body, bytes) or hasattr(body, "read") else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data=data, method=method)
    if hasattr(body, "read"):
        request.add_header("Content-Length", str(os.fstat(body.fileno()).st_size))
    try:
        return _DIRECT.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["error"])
        raise Failed(f"{path} {error.code}: {text.strip()}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{path} at {address}: {getattr(error, 'reason', error)!s}") from error


def ask(address: str, path: str, body: Any = None, timeout: int = ANSWER_S) -> Any:
    """The whole answer of Ollama's API."""
    try:
        with call(address, path, body, timeout=timeout) as answer:
            return json.load(answer)
    except BROKEN_OFF as error:
        raise Failed(f"{path} at {address}: broke off: {error}") from error


def follow(address: str, path: str, body: dict[str, Any], name: str) -> None:
    """Run a streaming request to its end. Only a last line `success` counts: the status is 200 whatever happens."""
    shown, last = 0.0, ""
    try:
        with call(address, path, body, timeout=PATIENCE_S) as answer:
            for line in answer:
                event = json.loads(line)
                if "error" in event:
                    raise Failed(f"{name}: {event['error']}")
                last = event.get("status", "")
                if event.get("total") and time.time() - shown > 3:
                    shown = time.time()
                    say(f"{name}: {last}, {event.get('completed', 0) // 10**6} of {event['total'] // 10**6} MB")
    except BROKEN_OFF as error:
        raise Failed(f"{name}: broke off while {last or 'starting'}: {error}") from error
    if last != "success":
        raise Failed(f"{name}: ended with {last!r} instead of success")
