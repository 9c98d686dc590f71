"""The header of a GGUF file, read by the `gguf` package from a memory map: nothing of the weights is read."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUF_MAGIC, GGUFEndian, GGUFReader, GGUFValueType, LlamaFileType

from inferfleet.errors import FleetError
from inferfleet.memory.formats import canonical
from inferfleet.memory.gguf_header import GgufFile, GgufTensor

# Models have some thousand tensors and some ten keys; a damaged count would be read for minutes and gigabytes.
_MOST = 100_000
# Longer lists of numbers are tokens' scores and types; lists of a value for each layer are shorter.
_LONG = 4096


def read_gguf(path: Path, where: str) -> GgufFile:
    """The header of a file.

    Args:
        path: the file.
        where: what an error line begins with.

    Raises:
        FleetError: no GGUF file, one that is cut short or damaged, or a part of a split one.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(24)
        if (magic := begin[:4]) != struct.pack("<I", GGUF_MAGIC):
            raise FleetError(f"{where}: is no GGUF file (begins with {magic!r})", "name a file that ends in .gguf")
        _check_counts(begin)
        found = _contents(_Header(path))
    except OSError as error:
        raise FleetError(f"{where}: cannot be read ({error.strerror or error})", "check its path and rights") from error
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, struct.error) as error:
        what = f"{where}: is a GGUF file that is cut short or damaged"
        raise FleetError(what, "copy it again, whole") from error
    parts = found.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        part = int(found.metadata.get("split.no") or 0) + 1
        todo = "join the parts with llama-gguf-split --merge, or declare the model's shape and format"
        raise FleetError(f"{where}: is only part {part} of {parts} of a split GGUF file", todo)
    return found


def _check_counts(begin: bytes) -> None:
    """What begins so may be a header: version, tensors, keys (GGUF's specification, gguf_header_t).

    Raises:
        ValueError: it has more tensors or keys than any model has.
    """
    order = "<" if begin[4:6] != b"\0\0" else ">"  # the version, a small number, tells how numbers are written
    if max(struct.unpack(f"{order}QQ", begin[8:24])) > _MOST:
        raise ValueError("more tensors or keys than any model has")


def _contents(header: GGUFReader) -> GgufFile:
    metadata = {name: _value(field) for name, field in header.fields.items() if not name.startswith("tokenizer.")}
    tensors = {
        tensor.name: GgufTensor(
            tensor.name, tuple(int(n) for n in tensor.shape), int(tensor.n_bytes), int(tensor.n_elements)
        )
        for tensor in header.tensors
    }
    return GgufFile(metadata, tensors, _format(metadata.get("general.file_type")))


def _value(field: Any) -> Any:
    if field.types[:1] == [GGUFValueType.ARRAY] and not field.data:
        return None
    return field.contents()


def _format(file_type: Any) -> str:
    try:
        name = LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return "gguf"
    return canonical(name) or name.lower()


class _Header(GGUFReader):
    """A reader that steps over tokens: the package makes two arrays for each, seconds for a vocabulary of today."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
        if GGUFValueType(raw_type) == GGUFValueType.ARRAY:
            head = [self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)]
            kind, count = GGUFValueType(head[0][0]), int(head[1][0])
            begin = orig_offs + 12
            if kind == GGUFValueType.STRING:
                return self._past_words(begin, count) - orig_offs, head, [], [GGUFValueType.ARRAY, kind]
            if count > _LONG and kind in self.gguf_scalar_to_np:
                size = count * np.dtype(self.gguf_scalar_to_np[kind]).itemsize
                return begin + size - orig_offs, head, [], [GGUFValueType.ARRAY, kind]
        parts: tuple[int, list[Any], list[int], list[Any]] = super()._get_field_parts(orig_offs, raw_type)
        return parts

    def _past_words(self, at: int, count: int) -> int:
        length = struct.Struct("<Q" if self.endianess == GGUFEndian.LITTLE else ">Q").unpack_from
        data = self.data.data
        for _ in range(count):
            at += 8 + length(data, at)[0]
        return at
