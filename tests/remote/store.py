"""An Ollama store on this machine, made file by file."""

import hashlib
import json
from pathlib import Path
from typing import Any

WEIGHTS = "application/vnd.ollama.image.model"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Store:
    """A models directory; `add` puts a model there as Ollama would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs").mkdir(parents=True)

    def blob(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "-")

    def manifest(self, name: str, registry: str = "registry.ollama.ai", namespace: str = "library") -> Path:
        model, tag = name.split(":")
        return self.path / "manifests" / registry / namespace / model / tag

    def add(self, name: str, weights: bytes = b"weights", **place: str) -> str:
        """The digest of its manifest."""
        layers = [self._layer(weights, WEIGHTS), self._layer(b"{{ .Prompt }}", "application/vnd.ollama.image.template")]
        config = self._layer(b"{}" + name.encode(), "application/vnd.docker.container.image.v1+json")
        raw = json.dumps({"layers": layers, "config": config}).encode()
        path = self.manifest(name, **place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return digest_of(raw)

    def _layer(self, content: bytes, kind: str) -> dict[str, Any]:
        digest = digest_of(content)
        self.blob(digest).write_bytes(content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}
