"""Ollama's API asked on the host itself, as the user of a shell there would."""

import json
import shlex
from typing import Any

_ASK = """import sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode() or None, method=sys.argv[3])
print(urllib.request.urlopen(request, timeout=60).read().decode())"""


def call(path: str, body: dict[str, Any] | None = None, method: str = "POST", port: int = 11434) -> str:
    """The shell command for one request."""
    url = f"http://127.0.0.1:{port}/api/{path}"
    return shlex.join(["python3", "-c", _ASK, url, json.dumps(body) if body else "", method])
