"""What the header of a GGUF file says. `gguf_file` reads it, and alone imports numpy for that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GgufTensor:
    """A tensor: its name, the lengths of its dimensions (rows' first), its bytes."""

    name: str
    lengths: tuple[int, ...]
    bytes: int
    elements: int


@dataclass(frozen=True)
class GgufFile:
    """What a header says.

    Attributes:
        metadata: keys and values, tokens left out.
        tensors: by name.
        format: of most tensors, as users name it; `gguf` where the file does not say.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]
    format: str
