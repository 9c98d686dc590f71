"""GGUF headers: the lab's own model, handmade ones for every kind of cache, broken ones."""

import random
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from inferfleet.errors import FleetError
from inferfleet.memory.sizes import size_of
from inferfleet.memory.types import Attention, ModelSize

TINY = Path(__file__).parents[2] / "inferfleet" / "lab" / "model" / "tiny.gguf"
# What every handmade model says if a case does not say otherwise.
PLAIN = {
    "block_count": 12,
    "context_length": 4096,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
}


def write(path: Path, architecture: str, keys: Mapping[str, Any], *, words: int = 8, output: bool = True) -> Path:
    writer = gguf.GGUFWriter(str(path), architecture)
    for name, value in (PLAIN | dict(keys)).items():
        key = name if name.startswith(("split.", "general.")) else f"{architecture}.{name}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    writer.add_token_list([f"word {number}" for number in range(words)])
    writer.add_token_scores([0.0] * words)
    writer.add_tensor("token_embd.weight", np.zeros((words, 64), dtype=np.float16))
    writer.add_tensor("blk.0.attn_norm.weight", np.zeros(64, dtype=np.float32))
    if output:
        writer.add_tensor("output.weight", np.zeros((words, 64), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def size(path: Path) -> ModelSize:
    return size_of("x", source=f"file:{path}")


def refused(path: Path) -> str:
    with pytest.raises(FleetError) as caught:
        size(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"models.x: {path}: ")


def test_the_labs_model() -> None:
    found = size(TINY)
    reader = gguf.GGUFReader(TINY)
    assert found.weights.total == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    assert found.weights.total + reader.data_offset == TINY.stat().st_size
    assert (found.weights.format, found.weights.embedding, found.weights.tied) == ("f16", 512 * 256 * 2, True)
    assert found.shape.attention == (Attention(3, 2, 64, 64),)
    assert (found.shape.vocab, found.shape.parameters, found.shape.max_context) == (512, 1_902_336, 4096)
    assert (found.error, found.known_from) == (0.0, str(TINY))


def test_a_path_begins_at_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert size_of("x", source="file:tiny.gguf", project=TINY.parent).shape == size(TINY).shape


WINDOWED = {"attention.sliding_window": 512}
CACHES: list[tuple[str, str, dict[str, Any], list[tuple[int | None, ...]]]] = [
    ("plain", "llama", {}, [(12, 2, 8, 8, None)]),
    ("all heads", "llama", {"attention.head_count_kv": None}, [(12, 8, 8, 8, None)]),
    ("lengths", "llama", {"attention.key_length": 32, "attention.value_length": 16}, [(12, 2, 32, 16, None)]),
    ("heads by layer", "deci", {"attention.head_count_kv": [2] * 6 + [0] * 2 + [4] * 4},
     [(6, 2, 8, 8, None), (4, 4, 8, 8, None)]),
    ("gemma2", "gemma2", {}, [(6, 2, 8, 8, None), (6, 2, 8, 8, 4096)]),
    ("gemma2 says", "gemma2", WINDOWED, [(6, 2, 8, 8, None), (6, 2, 8, 8, 512)]),
    ("gemma3", "gemma3", WINDOWED, [(2, 2, 8, 8, None), (10, 2, 8, 8, 512)]),
    ("gemma3 rest", "gemma3", WINDOWED | {"block_count": 34}, [(5, 2, 8, 8, None), (29, 2, 8, 8, 512)]),
    ("gemma3n", "gemma3n", WINDOWED | {"block_count": 35}, [(4, 2, 8, 8, None), (16, 2, 8, 8, 512)]),
    ("gemma4", "gemma4", WINDOWED | {
        "attention.sliding_window_pattern": [True] * 5 + [False] + [True] * 5 + [False],
        "attention.head_count_kv": [2, 2, 2, 2, 2, 1] * 2, "attention.shared_kv_layers": 6,
        "attention.key_length": 32, "attention.value_length": 32, "attention.key_length_swa": 16,
        "attention.value_length_swa": 16}, [(1, 1, 32, 32, None), (5, 2, 16, 16, 512)]),
    ("gpt-oss", "gpt-oss", WINDOWED, [(6, 2, 8, 8, None), (6, 2, 8, 8, 512)]),
    ("gpt-oss of Ollama", "gptoss", WINDOWED, [(6, 2, 8, 8, None), (6, 2, 8, 8, 512)]),
    ("full first", "smallthinker", WINDOWED, [(3, 2, 8, 8, None), (9, 2, 8, 8, 4096)]),
    ("full first, none", "smallthinker", {}, [(12, 2, 8, 8, None)]),
    ("llama4", "llama4", {}, [(3, 2, 8, 8, None), (9, 2, 8, 8, 8192)]),
    ("llama4 without", "llama4", {"attention.sliding_window": 0}, [(12, 2, 8, 8, None)]),
    ("exaone", "exaone4", {"block_count": 64}, [(16, 2, 8, 8, None), (48, 2, 8, 8, 4096)]),
    ("period in file", "gemma3", WINDOWED | {"attention.sliding_window_pattern": 4},
     [(3, 2, 8, 8, None), (9, 2, 8, 8, 512)]),
    ("exaone small", "exaone4", WINDOWED, [(12, 2, 8, 8, None)]),
    ("olmo2", "olmo2", {}, [(12, 2, 8, 8, None)]),
    ("olmo3", "olmo2", WINDOWED, [(3, 2, 8, 8, None), (9, 2, 8, 8, 512)]),
    ("mistral v0.1", "llama", WINDOWED, [(12, 2, 8, 8, None)]),
    ("phi3", "phi3", WINDOWED, [(12, 2, 8, 8, None)]),
    ("MLA", "deepseek2", {"attention.head_count_kv": 1, "attention.kv_lora_rank": 512, "attention.key_length": 576,
     "attention.value_length": 512, "attention.key_length_mla": 192, "attention.value_length_mla": 128},
     [(12, 1, 576, 0, None)]),
    ("MLA before 2025", "deepseek2", {"attention.head_count_kv": 8, "attention.kv_lora_rank": 512,
     "attention.key_length": 192, "attention.value_length": 128}, [(12, 8, 192, 128, None)]),
    ("guess of the next token", "glm4moe", {"nextn_predict_layers": 1}, [(11, 2, 8, 8, None)]),
    ("encoder", "nomic-bert", {}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "keys", "caches"), [row[1:] for row in CACHES], ids=[row[0] for row in CACHES]
)
def test_caches(architecture: str, keys: dict[str, Any], caches: list[Any], tmp_path: Path) -> None:
    found = size(write(tmp_path / "x.gguf", architecture, keys))
    assert found.shape.attention == tuple(Attention(*row) for row in caches)
    assert found.shape.recurrent == 0


SSM = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.group_count": 1, "ssm.time_step_rank": 4}
ONE = 4 * (3 * (128 + 2 * 16) + 16 * 128)  # bytes of one layer's state with SSM
STATES: list[tuple[str, dict[str, Any], int, int]] = [
    ("mamba2", SSM | {"attention.head_count": 0, "attention.head_count_kv": 0}, 0, 12 * ONE),
    ("granitehybrid", SSM | {"attention.head_count_kv": [0, 0, 0, 2] * 3}, 3, 9 * ONE),
    (
        "nemotron_h",
        SSM | {"attention.head_count_kv": [0, 0, 2] * 4, "feed_forward_length": [0, 128, 0] * 4},
        4,
        4 * ONE,
    ),
    ("falcon-h1", SSM, 12, 12 * ONE),
    ("qwen3next", SSM, 3, 9 * ONE),
    ("qwen35", SSM | {"full_attention_interval": 6}, 2, 10 * ONE),
    ("qwen35moe", SSM | {"attention.recurrent_layers": [True] * 7 + [False] * 5}, 5, 7 * ONE),
    ("lfm2", {"shortconv.l_cache": 3, "attention.head_count_kv": [0, 2] * 6}, 6, 6 * 4 * 64 * 2),
]


@pytest.mark.parametrize(("architecture", "keys", "cached", "state"), STATES, ids=[row[0] for row in STATES])
def test_states(architecture: str, keys: dict[str, Any], cached: int, state: int, tmp_path: Path) -> None:
    shape = size(write(tmp_path / "x.gguf", architecture, keys)).shape
    assert sum(group.layers for group in shape.attention) == cached
    assert shape.recurrent == state


EXPERTS = {"expert_count": 16, "expert_used_count": 4, "expert_feed_forward_length": 48}
WIDEST = [
    ({}, 128),
    (EXPERTS, 192),
    (EXPERTS | {"expert_shared_count": 2}, 288),
    (EXPERTS | {"expert_shared_feed_forward_length": 40}, 232),
    (EXPERTS | {"leading_dense_block_count": 1, "feed_forward_length": 400}, 400),
    ({"expert_count": 8, "expert_used_count": 2}, 256),
]


@pytest.mark.parametrize(("keys", "width"), WIDEST)
def test_widest_layer(keys: dict[str, Any], width: int, tmp_path: Path) -> None:
    assert size(write(tmp_path / "x.gguf", "qwen2moe", keys)).shape.ffn == width


def test_output_layer_of_its_own(tmp_path: Path) -> None:
    assert size(write(tmp_path / "a.gguf", "llama", {}, output=True)).weights.tied is False
    tied = size(write(tmp_path / "b.gguf", "llama", {}, output=False)).weights
    assert (tied.tied, tied.embedding, tied.total) == (True, 8 * 64 * 2, 8 * 64 * 2 + 64 * 4)


@pytest.mark.parametrize(
    ("architecture", "keys", "said"),
    [
        (
            "rwkv7",
            {"wkv.head_size": 64},
            "its architecture rwkv7 keeps a state besides its cache, of a kind that is not",
        ),
        (
            "newmamba",
            SSM,
            "its architecture newmamba keeps a state besides its cache, of a kind that is not known here;",
        ),
        ("glm-dsa", {"attention.indexer.head_count": 4}, "its architecture glm-dsa keeps an index besides its cache"),
        ("llama", {"split.count": 3, "split.no": 1}, "is only part 2 of 3 of a split GGUF file; join the parts with"),
        ("llama", {"context_length": None}, "does not say its llama.context_length (got None); declare"),
        ("llama", {"attention.head_count_kv": [1.5] * 12}, "does not say its llama.attention.head_count_kv (got [1.5"),
        ("llama", {"block_count": 0}, "has a strange number of layers (got 0)"),
        ("llama", {"block_count": 4_000_000_000}, "has a strange number of layers (got 4000000000)"),
    ],
)
def test_refused_rather_than_guessed(architecture: str, keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert refused(write(tmp_path / "x.gguf", architecture, keys)).startswith(said)


def test_an_image_tower_is_no_model(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "mmproj.gguf"), "clip")
    writer.add_tensor("v.patch_embd.weight", np.zeros((4, 4), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert refused(tmp_path / "mmproj.gguf").startswith("holds no language model (its architecture is 'clip')")


@pytest.mark.parametrize("length", [5, 24, 300, 9000, 14_000, 2_000_000])
def test_cut_files(length: int, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(TINY.read_bytes()[:length])
    assert refused(tmp_path / "cut.gguf") == "is a GGUF file that is cut short or damaged; copy it again, whole"


@pytest.mark.parametrize("counts", [(2**40, 0), (0, 2**40)])
def test_counts_that_cannot_be_are_not_read(counts: tuple[int, int], tmp_path: Path) -> None:
    """Zeros after a damaged header, as of a copy into a hole, are tensors without end to the package."""
    data = struct.pack("<4sIQQ", b"GGUF", 3, *counts) + bytes(4_000_000)
    (tmp_path / "x.gguf").write_bytes(data)
    begin = time.process_time()
    assert refused(tmp_path / "x.gguf").startswith("is a GGUF file that is cut short or damaged")
    assert time.process_time() - begin < 0.5


def test_a_split_that_is_no_number(tmp_path: Path) -> None:
    assert size(write(tmp_path / "x.gguf", "llama", {"split.count": ["two"]})).shape.vocab == 8


@pytest.mark.parametrize("data", [b"", b"GG", b"<html>", struct.pack("<Q", 2**40)])
def test_other_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(data)
    assert refused(tmp_path / "x.gguf").startswith("is no GGUF file (begins with b'")


def test_damaged_headers_end_in_a_line(tmp_path: Path) -> None:
    """Whatever byte is wrong: a size or one line, never another error."""
    whole, path, chance = TINY.read_bytes(), tmp_path / "x.gguf", random.Random(1)
    ends = set()
    for _ in range(300):
        data = bytearray(whole[:60_000]) + whole[60_000:]
        data[chance.randrange(chance.choice((400, 1500, 25_000)))] = chance.choice((0, 1, 255, chance.randrange(256)))
        path.write_bytes(data)
        try:
            ends.add(type(size(path)))
        except FleetError as error:
            assert "\n" not in str(error)
            ends.add(FleetError)
    assert ends == {ModelSize, FleetError}


def test_many_tokens_cost_little(tmp_path: Path) -> None:
    """The package alone takes more than five seconds for this one: two arrays for each token."""
    path = write(tmp_path / "x.gguf", "llama", {}, words=150_000)
    begin = time.process_time()
    assert size(path).shape.vocab == 150_000
    assert time.process_time() - begin < 1
