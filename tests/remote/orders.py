"""What `ollama_models.py` is told, and an Ollama that brings it."""

import json
from pathlib import Path
from typing import Any

from tests.remote.conftest import GGUF, OK, Site
from tests.remote.store import Store

__all__ = ["GGUF", "OK", "an_order", "brings", "recorded", "to_do"]


def an_order(name: str = "tiny:latest", **changed: Any) -> dict[str, Any]:
    order = {"name": name, "how": "pull", "origin": name, "mirror": None, "pin": None, "sha256": None, "settings": {}}
    return {**order, "recipe": "r1", "ours": True, **changed}


def to_do(ollama: Site, store: Store, *orders: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "models_dir": str(store.path),
        "proxy": {},
        "record": str(store.path.parent / "lib/ollama.json"),
        "addresses": {"ollama-gpu0": ollama.address},
        "bring": list(orders),
        "known": [order["name"] for order in orders],
        "checked": {},
        "broken": [],
        "remove": [],
        "forget": [],
        "load": {},
        "stay": {},
        **changed,
    }


def recorded(work: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(work["record"]).read_text())
    return found


def brings(ollama: Site, store: Store, name: str = "tiny:latest", weights: bytes = b"weights") -> None:
    """The model lies in the store as soon as it is pulled or created."""

    def answer(handler: Any) -> None:
        store.add(name, weights)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(OK)))
        handler.end_headers()
        handler.wfile.write(OK)

    ollama.routes |= {"POST /api/pull": answer, "POST /api/create": answer}
