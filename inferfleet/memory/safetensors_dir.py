"""The weights of a Hugging Face directory, from the headers of its safetensors files: nothing of them is loaded."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from inferfleet.errors import FleetError

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_EMBEDDING = "embed_tokens.weight"
_OUTPUT = "lm_head.weight"
# Bits of an element, by the names that the package gives to types.
_BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F4": 4}


@dataclass(frozen=True)
class Safetensors:
    """What the headers say together.

    Attributes:
        total: bytes of all tensors.
        embedding: of the table of input tokens.
        elements: how many elements; of quantised layers those of their packed form.
        tied: there is no output layer of its own.
    """

    total: int
    embedding: int
    elements: int
    tied: bool


def has_safetensors(directory: Path) -> bool:
    """Whether weights lie there, or an index that says so."""
    return (directory / _INDEX).exists() or any(directory.glob("*.safetensors"))


def read_safetensors(directory: Path, where: str) -> Safetensors:
    """The weights of a directory.

    Raises:
        FleetError: a file of the index is missing, or one is cut short or of another kind.
    """
    total = embedding = elements = 0
    tied = True
    for path in _files(directory, where):
        for name, bits, count in _tensors(path, where):
            size = count * bits // 8
            total, elements = total + size, elements + count
            if name.endswith(_EMBEDDING):
                embedding += size
            tied = tied and not name.endswith(_OUTPUT)
    return Safetensors(total, embedding, elements, tied)


def _files(directory: Path, where: str) -> list[Path]:
    index = directory / _INDEX
    if not index.exists():
        single = directory / _SINGLE
        return [single] if single.exists() else sorted(directory.glob("*.safetensors"))
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        paths = sorted(directory / name for name in names)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise FleetError(f"{where}: its {_INDEX} is no index of weights", "copy it again, whole") from error
    if missing := [path.name for path in paths if not path.is_file()]:
        raise FleetError(f"{where}: lacks {len(missing)} of {len(paths)} files of weights ({missing[0]})", "copy them")
    return paths


def _tensors(path: Path, where: str) -> Iterator[tuple[str, int, int]]:
    """Name, bits of an element, elements."""
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  # its object is no mapping
                part = file.get_slice(name)
                kind = part.get_dtype()
                if kind not in _BITS:
                    todo = "declare the model's shape and format"
                    raise FleetError(f"{where}: {path.name} has a tensor of a type not known here (got {kind!r})", todo)
                yield name, _BITS[kind], math.prod(part.get_shape())
    except (SafetensorError, OSError) as error:
        raise FleetError(f"{where}: {path.name} is cut short or damaged ({error})", "copy it again, whole") from error
