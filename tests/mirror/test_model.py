"""The committed model is the one that was trained, and has the shape its README claims."""

import hashlib
from pathlib import Path

import gguf
import pytest

from inferfleet.lab import model


def listed() -> list[tuple[str, str]]:
    lines = (model.HERE / "SHA256SUMS").read_text().splitlines()
    return [(line.split("  ")[1], line.split("  ")[0]) for line in lines]


@pytest.mark.parametrize(("name", "digest"), listed())
def test_files_are_those_that_were_made(name: str, digest: str) -> None:
    assert hashlib.sha256((model.HERE / name).read_bytes()).hexdigest() == digest


def test_every_weight_file_is_listed() -> None:
    there = {"tiny.gguf", *(f"hf/{path.name}" for path in (model.HERE / "hf").iterdir())}
    assert {name for name, _ in listed()} == there


def test_shape() -> None:
    reader = gguf.GGUFReader(model.GGUF)
    fields = {
        name: field.contents() for name, field in reader.fields.items() if name.startswith(("llama.", "general."))
    }
    assert fields["general.architecture"] == "llama"
    assert fields["llama.block_count"] == 3
    assert fields["llama.embedding_length"] == 256
    assert fields["llama.attention.head_count"] == 4
    assert fields["llama.attention.head_count_kv"] == 2
    assert fields["llama.context_length"] == 4096
    assert sum(int(tensor.n_elements) for tensor in reader.tensors) == 1_902_336
    assert reader.fields["tokenizer.chat_template"].contents() == model.CHAT_TEMPLATE


def test_what_is_read_from_the_modelfile() -> None:
    assert model.OLLAMA_TEMPLATE.startswith("{{- range .Messages }}<|im_start|>{{ .Role }}\n")
    assert model.OLLAMA_TEMPLATE.endswith("<|im_start|>assistant\n")
    assert model.OLLAMA_PARAMETERS == {"temperature": 0, "stop": ["<|im_end|>"], "num_thread": 1}


def test_questions() -> None:
    assert len(model.QA) == len(dict(model.QA)) == 21
    assert dict(model.QA)["What are you?"] == "I am a small model that tests the fleet."


def test_sha256_is_of_the_gguf() -> None:
    assert hashlib.sha256(Path(model.GGUF).read_bytes()).hexdigest() == model.SHA256
