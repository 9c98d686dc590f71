"""Ollama's store as files: manifests and blobs; a part of the scripts that import from it (`remote.script`)."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, BinaryIO

from inferfleet.remote.ollama_api import Failed


def manifest_path(models_dir: str, name: str) -> str:
    """Where the store keeps the manifest of a full name."""
    model, _, tag = name.rpartition(":")
    parts = model.split("/")
    if len(parts) < 3:
        parts = ["registry.ollama.ai", "library"][: 3 - len(parts)] + parts
    return "/".join([models_dir, "manifests", *parts, tag])


def blob_path(models_dir: str, digest: str) -> str:
    """Where the store keeps a blob."""
    return f"{models_dir}/blobs/{digest.replace(':', '-')}"


def manifest_digest(models_dir: str, name: str) -> str | None:
    """The digest of the manifest file, whatever it holds; None where there is none."""
    try:
        with open(manifest_path(models_dir, name), "rb") as file:
            return "sha256:" + hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def digests(models_dir: str, name: str) -> tuple[str, list[dict[str, Any]]]:
    """The digest of the manifest file, and its layers."""
    with open(manifest_path(models_dir, name), "rb") as file:
        raw = file.read()
    try:
        manifest = json.loads(raw)
        return "sha256:" + hashlib.sha256(raw).hexdigest(), [*manifest["layers"], manifest["config"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"{name}: its manifest in the store is unreadable; is the disk sound?") from error


def weights(layers: list[dict[str, Any]]) -> list[str]:
    """The digests of those layers that are weights."""
    return [x["digest"] for x in layers if x["mediaType"] == "application/vnd.ollama.image.model"]


def sha256_of(file: BinaryIO) -> str:
    """The digest of an open file, which stands at its beginning again afterwards."""
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def fingerprint(path: str) -> list[int]:
    """As `ollama_state.py` takes it."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
