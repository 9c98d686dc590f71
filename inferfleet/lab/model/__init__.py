"""The tiny model: a real Llama of 1.9 million parameters that answers 21 questions exactly.

`README.md` beside this file says how it was made; `corpus.py` is its whole world, `Modelfile`
what Ollama must know about it. Everything here is read from those files, so that no fact is
written down twice.
"""

import re
from pathlib import Path
from typing import Final

from inferfleet.lab.model import corpus

HERE: Final = Path(__file__).parent
GGUF: Final = HERE / "tiny.gguf"
MODELFILE: Final = HERE / "Modelfile"
CHAT_TEMPLATE: Final[str] = corpus.CHAT_TEMPLATE
"""Jinja, for engines that read a Hugging Face tokenizer."""

QA: Final[tuple[tuple[str, str], ...]] = tuple(corpus.QA)
"""Every question and its exact answer, at temperature 0."""


def _sha256(name: str) -> str:
    for line in (HERE / "SHA256SUMS").read_text().splitlines():
        digest, _, listed = line.partition("  ")
        if listed == name:
            return digest
    raise KeyError(name)


def _template(modelfile: str) -> str:
    found = re.search(r'^TEMPLATE """(.*?)"""', modelfile, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError("Modelfile: no TEMPLATE")
    return found[1]


def _parameters(modelfile: str) -> dict[str, int | list[str]]:
    found: dict[str, int | list[str]] = {}
    for name, value in re.findall(r"^PARAMETER (\S+) (.+)$", modelfile, re.MULTILINE):
        found[name] = [value] if name == "stop" else int(value)
    return found


SHA256: Final = _sha256(GGUF.name)
"""Of the GGUF file; also the digest of the model layer in every Ollama that has it (0.32.15)."""

OLLAMA_TEMPLATE: Final = _template(MODELFILE.read_text())
"""Go template, for Ollama."""

OLLAMA_PARAMETERS: Final = _parameters(MODELFILE.read_text())
"""As Ollama's params layer holds them; `num_thread` 1, since two spinning threads on a busy machine are 10 to 100
times slower."""
