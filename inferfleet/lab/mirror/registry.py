"""Lay out a model registry as plain files, so that `ollama pull` works from any static server.

What Ollama 0.32.15 asks for (server/images.go, server/download.go): GET of
`/v2/<namespace>/<name>/manifests/<tag>`, then for each blob HEAD for its length, GET for where it is
(a `Location` header, even with 200; see `server`) and GET with Range. Layers are told apart by media type.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.store import locked, replace_file

MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE: Final = "application/vnd.ollama.image."

_WORD = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(rf"((?P<namespace>{_WORD})/)?(?P<model>{_WORD})(:(?P<tag>{_WORD}))?")
_Parameter = str | int | float | list[str]


@dataclass(frozen=True)
class Model:
    """What a name in the registry stands for.

    Attributes:
        gguf: the weights.
        template: Go template that makes a prompt of messages.
        parameters: as `PARAMETER` lines of a Modelfile; `stop` is a list.
        system: system prompt, or nothing.
        family: the GGUF's `general.architecture`.
        size: as `ollama show` prints it: "1.9M".
        quantization: likewise: "F16".
    """

    gguf: Path
    template: str
    parameters: Mapping[str, _Parameter]
    system: str = ""
    family: str = "llama"
    size: str = ""
    quantization: str = "F16"


def write_registry(root: Path, models: Mapping[str, Model]) -> None:
    """`<root>/v2` offers each model under its name; names that are there already and not given stay.

    Args:
        root: what the server has as its root directory.
        models: `name:tag` or `namespace/name:tag` to model. The namespace is `library` and the tag
            `latest` where they are left out, as with Ollama. Equal blobs share their disk space.

    Raises:
        LabError: a name cannot be one.
    """
    with locked(root / "v2"):
        for name, model in models.items():
            repository, tag = _split(name)
            _write_model(root / "v2" / "blobs", root / "v2" / repository, tag, model)


def _split(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise LabError(f"registry: not a model name (got {name!r})", 'write it like "tiny:latest"')
    return f"{found['namespace'] or 'library'}/{found['model']}", found["tag"] or "latest"


def _write_model(store: Path, repository: Path, tag: str, model: Model) -> None:
    blobs = repository / "blobs"
    layers = [_blob(store, blobs, LAYER_TYPE + "model", model.gguf.read_bytes())]
    layers.append(_blob(store, blobs, LAYER_TYPE + "template", model.template.encode()))
    if model.system:
        layers.append(_blob(store, blobs, LAYER_TYPE + "system", model.system.encode()))
    if model.parameters:
        layers.append(_blob(store, blobs, LAYER_TYPE + "params", _json(dict(model.parameters))))
    config = _blob(store, blobs, CONFIG_TYPE, _json(_config(model)))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    # Last: a manifest that can be seen names only blobs that are there.
    replace_file(repository / "manifests" / tag, _json(manifest))


def _config(model: Model) -> dict[str, Any]:
    return {
        "model_format": "gguf",
        "model_family": model.family,
        "model_families": [model.family],
        "model_type": model.size,
        "file_type": model.quantization,
        "architecture": "amd64",
        "os": "linux",
    }


def _blob(store: Path, blobs: Path, media_type: str, content: bytes) -> dict[str, Any]:
    """The content is among the repository's blobs, as a hard link to the one copy; gives its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not (store / digest).exists():
        replace_file(store / digest, content)
    blobs.mkdir(parents=True, exist_ok=True)
    if not (blobs / digest).exists():
        os.link(store / digest, blobs / digest)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
