"""How large a model is: from a file that can be read, a declared shape, or the shipped table, in this order.

Never guessed: a model of which none of them knows ends in a line that says what to add.
"""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from inferfleet.errors import FleetError
from inferfleet.memory.declared import declared_form
from inferfleet.memory.form import Form
from inferfleet.memory.formats import parse_format
from inferfleet.memory.gguf_header import GgufFile
from inferfleet.memory.gguf_model import shape_of, weights_in
from inferfleet.memory.hf_config import form_of, format_of, read_config
from inferfleet.memory.known import known, known_names
from inferfleet.memory.safetensors_dir import has_safetensors, read_safetensors
from inferfleet.memory.tensors import parameters
from inferfleet.memory.types import ModelSize, Shape, Weights
from inferfleet.memory.weights import weights_of

# How far off a computed total may be. Tokens weigh more in the file of a small model; q2_K and mixes of eight experts
# were others before 2024, and registries still have such files.
SMALL = 3_000_000_000
ERROR, ERROR_SMALL, ERROR_OLD = 0.03, 0.10, 0.14


def size_of(
    name: str,
    *,
    source: str | None = None,
    format: str | None = None,
    shape: Mapping[str, object] | None = None,
    project: Path = Path("."),
) -> ModelSize:
    """What is known of a model's size.

    Args:
        name: as the inventory names it.
        source: where its weights come from, if not from where its name says: `file:` with the path of a GGUF or of a
            directory (read where this machine has it), `hf:owner/name`, an address, or a registry's name.
        format: of its weights, if name, source or file do not say.
        shape: as declared by the user; see `form.Form` for its keys.
        project: what relative paths begin at.

    Raises:
        FleetError: nobody knows it, or what was to be read is not what it should be; one line for each mistake.
    """
    where = f"models.{name}"
    chosen = parse_format(format, f"{where}.format") if format else None
    path = _path(source, project, where)
    if path is not None and path.exists():
        return _of_directory(path, where, chosen) if path.is_dir() else _of_gguf(path, where)
    if shape is not None:
        return _of_shape(shape, where, chosen or _named_format(source or name))
    found = known(name if source is None else source) if path is None else None
    if found is not None:
        total = found.published if chosen in (None, found.format) else 0
        return _of_form(found.form, chosen or found.format, f"the shipped table ({found.name})", total)
    raise _unknown(where, source, path)


def _path(source: str | None, project: Path, where: str) -> Path | None:
    """The file or directory that is meant; a `config.json` stands for its directory."""
    if source is None or not source.startswith("file:"):
        return None
    try:
        path = project / Path(source.removeprefix("file:")).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, too long, a directory that is closed to us
        why = error.strerror if isinstance(error, OSError) else error
        raise FleetError(f"{where}: its file cannot be looked for ({why})", "check its path and rights") from error
    return path.parent if path.name == "config.json" else path


def _of_gguf(path: Path, where: str) -> ModelSize:
    # Few fleets have a GGUF to read here, and every run of pyinfra would wait for numpy.
    reader = importlib.import_module("inferfleet.memory.gguf_file")
    file: GgufFile = reader.read_gguf(path, f"{where}: {path}")
    return ModelSize(shape_of(file, f"{where}: {path}"), weights_in(file), str(path), 0.0)


def _of_directory(path: Path, where: str, chosen: str | None) -> ModelSize:
    there = f"{where}: {path}"
    config = read_config(path, there)
    form = form_of(config, there)
    format = chosen or format_of(config, there)
    if has_safetensors(path):
        read = read_safetensors(path, there)
        count = parameters(form) if config.get("quantization_config") else read.elements
        weights = Weights(format, read.total, read.embedding, read.tied)
        return ModelSize(form.shape(count), weights, str(path), 0.0)
    if config.get("vision_config"):
        what = f"{there}: its image tower is of a size that config.json does not tell"
        raise FleetError(what, "put its safetensors files there, or declare the model's shape and format")
    return _of_form(form, format, f"{path / 'config.json'}")


def _of_shape(data: Mapping[str, object], where: str, format: str | None) -> ModelSize:
    form = declared_form(data, f"{where}.shape")
    if format is None:
        raise FleetError(
            f"{where}.format: is missing, so its shape has no size", "write one such as q4_K_M, bf16 or awq"
        )
    return _of_form(form, format, "its declared shape")


def _of_form(form: Form, format: str, known_from: str, published: int = 0) -> ModelSize:
    weights, count = weights_of(form, format), parameters(form)
    if published:
        weights = Weights(format, published, weights.embedding, weights.tied)
    shape: Shape = form.shape(count)
    return ModelSize(shape, weights, known_from, _error(form, format, count))


def _error(form: Form, format: str, count: int) -> float:
    if format == "q2_K" or (form.experts == 8 and "_K" in format):
        return ERROR_OLD
    return ERROR_SMALL if count < SMALL else ERROR


def _named_format(name: str) -> str | None:
    found = known(name)
    return found.format if found else None


def _unknown(where: str, source: str | None, path: Path | None) -> FleetError:
    todo = "add `shape` (a GGUF or Hugging Face directory on this machine, or its numbers and `format`), or `vram_gib`"
    if path is not None:
        return FleetError(f"{where}: its size is not known, as {path} is not on this machine", todo)
    name = source or where.removeprefix("models.")
    near = get_close_matches(name, known_names(), n=2, cutoff=0.75)
    meant = f"did you mean {' or '.join(map(repr, near))}? Else " if near else ""
    return FleetError(f"{where}: its size is not known (got {name!r})", meant + todo)
