"""The shipped table of well-known models, by their names in Ollama's registry and on Hugging Face. Pure.

A name says the model and, often, the format: `llama2:13b-chat-q5_K_M`, `Qwen/Qwen2.5-7B-Instruct-AWQ`,
`hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M`. What is left open has the default of the place it comes from.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from inferfleet.memory.declared import parse_form
from inferfleet.memory.form import Form
from inferfleet.memory.formats import canonical

# Words between size and format in Ollama's tags that leave the shape as it is.
_FLAVOUR = re.compile(
    r"-(chat|text|instruct|base|code|python|it|pt|thinking|v\d+(\.\d+)?|\d{4}|distill|qwen-distill|llama-distill"
    r"|(mini|medium)-(4k|128k)-instruct)$"
)
# A file in a repository, whose name ends in its format: `owner/name/resolve/main/name-Q4_K_M.gguf`.
_FILE = re.compile(r"^([^/]+/[^/]+)/(?:resolve|blob)/[^/]+/.*?([^/.-]+)\.gguf(?:\?.*)?$", re.IGNORECASE)
# Endings of repositories with quantised copies; what they leave open is None.
_COPIES: Mapping[str, str | None] = {
    "awq-int4": "awq",
    "awq": "awq",
    "gptq-int4": "gptq",
    "gptq-int8": "gptq-int8",
    "gptq": "gptq",
    "quantized.w4a16": "gptq",
    "quantized.w8a8": "int8",
    "fp8-dynamic": "fp8",
    "fp8": "fp8",
    "unsloth-bnb-4bit": "bnb4",
    "bnb-4bit": "bnb4",
    "gguf": "q4_K_M",  # what Ollama takes of such a repository where no tag is written
    "hf": None,
}


@dataclass(frozen=True)
class Known:
    """A model of the table, in the format that a name asks for.

    Attributes:
        name: the model's, for people.
        form: its form.
        format: of its weights.
        published: bytes of the file where they are not what the rules of `llama-quantize` give; 0: they are.
    """

    name: str
    form: Form
    format: str
    published: int = 0


def known(name: str) -> Known | None:
    """The model of that name; None where the table has none.

    Args:
        name: as users write it: of Ollama's registry, `hf:owner/name`, `hf.co/owner/name:TAG` or `owner/name`.
    """
    for place in ("hf:", "hf.co/", "huggingface.co/", "https://hf.co/", "https://huggingface.co/"):
        if name.startswith(place):
            return _of_hugging_face(_FILE.sub(_repository, name.removeprefix(place)))
    plain = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return _of_hugging_face(plain) if "/" in plain else _of_ollama(plain)


def known_names() -> tuple[str, ...]:
    """All names of the table, as it has them."""
    return (*_ollama(), *(name for entry in _table() for name in entry.get("hf", ())))


@cache
def _table() -> tuple[dict, ...]:  # type: ignore[type-arg]  # read from TOML
    text = files("inferfleet.memory").joinpath("known.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["model"])


@cache
def _form(index: int) -> Form:
    return parse_form(_table()[index]["shape"])


@cache
def _ollama() -> dict[str, tuple[int, str]]:
    """Each of the registry's names -> index of the model, default format."""
    return {
        name: (index, format)
        for index, entry in enumerate(_table())
        for format, names in entry.get("ollama", {}).items()
        for name in names
    }


@cache
def _hugging_face() -> dict[str, int]:
    """Each repository's name without its owner -> index of the model."""
    return {
        name.split("/")[1].lower().removesuffix("-hf"): index
        for index, entry in enumerate(_table())
        for name in entry.get("hf", ())
    }


def _repository(file: re.Match[str]) -> str:
    return f"{file[1]}:{file[2]}"


def _of_ollama(name: str) -> Known | None:
    """An exact name, or one with a format and words of no matter to the shape at its end."""
    base, written = name.removesuffix(":latest"), None
    if base not in _ollama() and (written := canonical(base.rpartition("-")[2])):
        base = base.rpartition("-")[0]
    while base not in _ollama():
        shorter = _FLAVOUR.sub("", base)
        if shorter == base:
            return None
        base = shorter
    index, default = _ollama()[base]
    entry, format = _table()[index], written or default
    return Known(entry["name"], _form(index), format, entry.get("published", {}).get(base, 0) * (format == default))


def _of_hugging_face(name: str) -> Known | None:
    repository, _, tag = name.partition(":")
    owner, _, base = repository.lower().partition("/")
    if not owner or not base or "/" in base:
        return None
    format: str | None = None
    while ending := next((end for end in _COPIES if base.endswith(f"-{end}")), None):
        base = base.removesuffix(f"-{ending}")
        format = format or _COPIES[ending]
    index = _hugging_face().get(base, _hugging_face().get(base.partition("_")[2]))
    if index is None:
        return None
    if tag:
        format = canonical(tag)
        if format is None:
            return None
    entry = _table()[index]
    return Known(entry["name"], _form(index), format or entry.get("hf_format", "bf16"))
