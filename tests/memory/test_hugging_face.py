"""Hugging Face directories: the lab's own, handmade configs, broken ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from inferfleet.errors import FleetError
from inferfleet.memory.sizes import size_of
from inferfleet.memory.types import Attention, ModelSize

MODEL = Path(__file__).parents[2] / "inferfleet" / "lab" / "model"
# meta-llama/Llama-2-13b-hf's config.json, what matters of it.
LLAMA = {
    "model_type": "llama", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
    "num_attention_heads": 40, "num_key_value_heads": 40, "vocab_size": 32000, "max_position_embeddings": 4096,
    "tie_word_embeddings": False, "torch_dtype": "float16",
}  # fmt: skip


def made(directory: Path, config: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def size(path: Path, **given: Any) -> ModelSize:
    return size_of("x", source=f"file:{path}", **given)


def refused(path: Path) -> str:
    with pytest.raises(FleetError) as caught:
        size(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"models.x: {path}: ")


def test_the_labs_model_in_both_forms() -> None:
    here, there = size(MODEL / "hf"), size(MODEL / "tiny.gguf")
    assert here.shape == there.shape
    assert here.error == there.error == 0
    # Norms are in 16 bits here, in 32 there.
    assert there.weights.total - here.weights.total == 7 * 256 * 2
    assert (here.weights.format, here.weights.tied, here.weights.embedding) == ("f16", True, 512 * 256 * 2)


def test_config_alone_is_as_the_table(tmp_path: Path) -> None:
    found, shipped = size(made(tmp_path, LLAMA)), size_of("llama2:13b-fp16")
    assert (found.shape, found.weights) == (shipped.shape, shipped.weights)
    assert (found.error, found.known_from) == (0.03, str(tmp_path / "config.json"))
    assert size(tmp_path, format="awq").weights.format == "awq"


def test_a_config_stands_for_its_directory(tmp_path: Path) -> None:
    assert size(made(tmp_path, LLAMA) / "config.json") == size(tmp_path)


TEXT = {name: value for name, value in LLAMA.items() if name != "model_type"}
SMALL = TEXT | {"num_hidden_layers": 12, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 32768}
SHAPES: list[tuple[str, dict[str, Any], list[tuple[int, int | None]]]] = [
    ("mistral v0.1", {"model_type": "mistral", "sliding_window": 4096}, [(12, 4096)]),
    ("mistral v0.3", {"model_type": "mistral", "sliding_window": None}, [(12, None)]),
    ("qwen2 switched off", {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, [(12, None)]),
    ("beyond its context", {"model_type": "phi3", "sliding_window": 262144}, [(12, None)]),
    ("gemma2", {"model_type": "gemma2", "sliding_window": 4096}, [(6, None), (6, 4096)]),
    ("gemma3", {"model_type": "gemma3_text", "sliding_window": 512}, [(2, None), (10, 512)]),
    ("gemma3 says", {"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 4},
     [(3, None), (9, 512)]),
    ("gpt-oss", {"model_type": "gpt_oss", "sliding_window": 128, "num_local_experts": 4, "num_experts_per_tok": 2,
     "layer_types": ["sliding_attention", "full_attention"] * 6}, [(6, None), (6, 128)]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "caches"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_windows(change: dict[str, Any], caches: list[tuple[int, int | None]], tmp_path: Path) -> None:
    shape = size(made(tmp_path, SMALL | change)).shape
    assert [(group.layers, group.window) for group in shape.attention] == caches


def test_mla(tmp_path: Path) -> None:
    """deepseek-ai/DeepSeek-V3: 671 billion parameters in 8 bits."""
    config = {
        "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
        "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "n_shared_experts": 1,
        "n_routed_experts": 256, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "qk_nope_head_dim": 128, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "vocab_size": 129280,
        "max_position_embeddings": 163840, "tie_word_embeddings": False, "quantization_config": {"quant_method": "fp8"},
    }  # fmt: skip
    found = size(made(tmp_path, config))
    assert found.shape.attention == (Attention(61, 1, 576, 0),)
    assert found.shape.parameters == pytest.approx(671.03e9, rel=0.001)
    assert found.shape.ffn == 18432
    assert found.weights.format == "fp8"


FORMATS = [
    ({"quant_method": "awq", "bits": 4}, "awq"),
    ({"quant_method": "gptq", "bits": 4}, "gptq"),
    ({"quant_method": "gptq", "bits": 8}, "gptq-int8"),
    ({"quant_method": "fp8"}, "fp8"),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb4"),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb8"),
    ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"type": "float", "num_bits": 8}}}},
     "fp8"),
    ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"type": "int", "num_bits": 4}}}},
     "gptq"),
    ({"quant_method": "mxfp4"}, "mxfp4"),
]  # fmt: skip


@pytest.mark.parametrize(("quantised", "format"), FORMATS)
def test_quantised(quantised: dict[str, Any], format: str, tmp_path: Path) -> None:
    assert size(made(tmp_path, LLAMA | {"quantization_config": quantised})).weights.format == format


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "mamba2"}, "its architecture is not known here (model_type is 'mamba2'); declare the model's"),
        ({"model_type": None}, "its architecture is not known here (model_type is None)"),
        ({"hidden_size": 0}, "config.json.hidden: is less than 1 (got 0)"),
        ({"num_key_value_heads": 7}, "config.json.kv_heads: does not divide heads"),
        ({"quantization_config": {"quant_method": "hqq"}}, "its quantisation is not known here (quant_method 'hqq'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "its quantisation is not known here"),
        (
            {"max_position_embeddings": "4k", "sliding_window": 8},
            "config.json: max_position_embeddings is no whole",
        ),
        ({"n_shared_experts": [1]}, "config.json: n_shared_experts is no whole number (got [1]); declare"),
        ({"kv_lora_rank": 1, "qk_rope_head_dim": "x"}, "config.json: qk_rope_head_dim is no whole number (got 'x')"),
        *(
            (
                {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}},
                "its quantisation",
            )
            for groups in ({"a": 1}, {"a": {"weights": True}}, {"a": {"weights": {"num_bits": [4]}}})
        ),
        ({"vision_config": {"hidden_size": 1}}, "its image tower is of a size that config.json does not tell; put its"),
    ],
)
def test_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert refused(made(tmp_path, LLAMA | change)).startswith(said)


def test_no_config(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("has no readable config.json (No such file or directory); declare")
    (tmp_path / "config.json").write_text("{")
    assert refused(tmp_path).startswith("its config.json is no JSON (")
    (tmp_path / "config.json").write_text("[" * 200_000)
    assert refused(tmp_path).startswith("its config.json is no JSON (")
    (tmp_path / "config.json").write_text("[]")
    assert refused(tmp_path) == "its config.json is no JSON object; copy it again, whole"


def sharded(directory: Path) -> Path:
    """A model of two files and their index, the second with the output layer."""
    made(directory, LLAMA)
    parts = {"a.safetensors": "model.embed_tokens.weight", "b.safetensors": "lm_head.weight"}
    for file, name in parts.items():
        save_file({name: np.zeros((4, 6), dtype=np.float16)}, directory / file)
    index = {"weight_map": {name: file for file, name in parts.items()}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def test_shards(tmp_path: Path) -> None:
    save_file({"other": np.zeros(9)}, sharded(tmp_path) / "consolidated.safetensors")  # not in the index: not counted
    found = size(tmp_path).weights
    assert (found.total, found.embedding, found.tied) == (96, 48, False)


def test_broken_shards(tmp_path: Path) -> None:
    directory = sharded(tmp_path)
    whole = (directory / "b.safetensors").read_bytes()
    for length in (0, 7, 20, len(whole) - 1):
        (directory / "b.safetensors").write_bytes(whole[:length])
        assert refused(directory).startswith("b.safetensors is cut short or damaged (")
    (directory / "b.safetensors").unlink()
    assert refused(directory) == "lacks 1 of 2 files of weights (b.safetensors); copy them"
    for index in ("{}", '{"weight_map": {"a": 5}}', "[" * 200_000):
        (directory / "model.safetensors.index.json").write_text(index)
        assert refused(directory) == "its model.safetensors.index.json is no index of weights; copy it again, whole"


def test_cut_weights_of_the_lab(tmp_path: Path) -> None:
    shutil.copytree(MODEL / "hf", tmp_path / "hf")
    file = tmp_path / "hf" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1_000_000])
    assert refused(tmp_path / "hf").startswith("model.safetensors is cut short or damaged (")
