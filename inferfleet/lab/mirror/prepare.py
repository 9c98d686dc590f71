"""Everything that the mirror serves, built and laid out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from inferfleet.lab import model
from inferfleet.lab.mirror.ollama import build_ollama
from inferfleet.lab.mirror.registry import Model, write_registry
from inferfleet.lab.mirror.store import replace_file

OLLAMA: Final = "0.32.15"
"""The version that is built when none is asked for."""

NAMES: Final = ("tiny:latest", "llama2:13b")
"""Names under which the tiny model can be pulled; upstream's among them, so that an inventory need not know."""


def tiny_model() -> Model:
    """The tiny model as the registry offers it."""
    return Model(model.GGUF, model.OLLAMA_TEMPLATE, model.OLLAMA_PARAMETERS, size="1.9M")


def prepare_mirror(
    versions: Sequence[str],
    cache: Path,
    say: Callable[[str], None],
    names: Sequence[str] = NAMES,
    refresh: bool = False,
) -> Path:
    """A directory is ready to be served: releases of Ollama, the model registry, the model as a file.

    Args:
        versions: of Ollama, without `v`.
        cache: inferfleet's cache.
        say: is told what takes long.
        names: models to offer, all of them the tiny one.
        refresh: take newer packages of llama.cpp if there are any.

    Returns:
        The root for `server`, with `/ollama/v<version>/`, `/v2/` and `/models/tiny.gguf`.

    Raises:
        LabError: something cannot be built or fetched here.
    """
    root = cache / "mirror"
    for version in versions:
        build_ollama(version, cache, say, refresh)
        refresh = False
    write_registry(root, dict.fromkeys(names, tiny_model()))
    replace_file(root / "models" / model.GGUF.name, model.GGUF.read_bytes())
    return root
