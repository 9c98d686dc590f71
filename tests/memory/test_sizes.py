"""Computed sizes against published ones, and what is said where nobody knows a model."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from inferfleet.errors import FleetError
from inferfleet.memory.formats import BLOCKS, GGML, OTHER, canonical
from inferfleet.memory.known import known, known_names
from inferfleet.memory.sizes import SMALL, size_of
from inferfleet.memory.tensors import parameters
from inferfleet.memory.weights import weights_of

MODEL = Path(__file__).parents[2] / "inferfleet" / "lab" / "model"
GB, GIB = 10**9, 2**30


class Published(NamedTuple):
    """A model's name, and the bytes of its published file."""

    name: str
    bytes: float


# `GET /api/tags` of Ollamas that had pulled these from the registry: whole files, with tokens and licence
# (answers quoted in public repositories, 2024 to 2026).
OLLAMA = [
    Published("llama2", 3_825_819_519),
    Published("codellama", 3_825_910_662),
    Published("llama3", 4_661_224_676),
    Published("llama3.1", 4_920_753_328),
    Published("llama3.3", 42_520_413_916),
    Published("llama3.2:1b", 1_321_098_329),
    Published("llama3.2", 2_019_393_189),
    Published("tinyllama", 637_700_138),
    Published("smollm2:135m", 270_898_672),
    Published("smollm2:360m", 725_566_512),
    Published("smollm2", 1_820_428_533),
    Published("mistral", 4_372_824_384),
    Published("mistral:7b-instruct-q4_0", 4_113_301_824),
    Published("mistral-nemo", 7_071_713_232),
    Published("mistral-small", 14_333_928_010),
    Published("qwen2.5", 4_683_087_332),
    Published("qwen2", 4_431_400_262),
    Published("qwen2.5:0.5b", 397_821_319),
    Published("qwen2.5-coder:1.5b-base", 986_060_385),
    Published("qwen2.5:3b", 1_929_912_432),
    Published("deepseek-r1:1.5b", 1_117_322_599),
    Published("deepseek-r1:7b", 4_683_075_440),
    Published("deepseek-r1:8b-llama-distill-q4_K_M", 4_920_738_407),
    Published("deepseek-r1:14b", 8_988_112_040),
    Published("deepseek-r1:32b", 19_851_337_809),
    Published("qwen3:4b", 2_497_293_931),
    Published("qwen3-coder:30b", 18_556_700_761),
    Published("gemma2:2b", 1_629_518_495),
    Published("gemma2", 5_443_152_417),
    Published("gemma2:27b", 15_628_387_458),
    Published("gemma3:270m", 291_554_930),
    Published("gemma3:1b", 815_319_791),
    Published("gemma3:4b", 3_338_801_804),
    Published("gemma3:12b", 8_149_190_253),
    Published("gemma3:27b", 17_396_936_941),
    Published("phi3.5", 2_176_178_843),
    Published("phi3:medium", 7_897_126_241),
    Published("phi4", 9_053_116_391),
    Published("gpt-oss:20b", 13_780_173_839),
    Published("gpt-oss:120b", 65_369_818_941),
    Published("nomic-embed-text", 274_302_450),
    Published("mxbai-embed-large", 669_615_493),
    Published("bge-m3", 1_157_672_605),
    Published("all-minilm", 45_960_996),
]
# llama.cpp's tools/quantize/README.md: Llama 3.1 8B; GiB, with two digits.
LLAMA_CPP = {
    "f16": 14.96,
    "q8_0": 7.95,
    "q6_K": 6.14,
    "q5_K_M": 5.33,
    "q5_K_S": 5.21,
    "q4_K_M": 4.58,
    "q4_K_S": 4.36,
    "iq4_XS": 4.17,
    "iq4_NL": 4.38,
    "q3_K_L": 4.02,
    "q3_K_S": 3.41,
    "q2_K": 2.95,
}
# Cards of Hugging Face repositories; GB, with two digits.
CARDS = {
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:F16": 2.48,
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0": 1.32,
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q5_K_M": 0.91,
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M": 0.81,
    "hf.co/bartowski/gemma-2-9b-it-GGUF:Q8_0": 9.82,
    "hf.co/x/gemma-2-2b-it-GGUF:Q3_K_M": 1.46,  # yabichiu/gemma2_2b_instruct_Ollama's file listing, as the next five
    "hf.co/x/gemma-2-2b-it-GGUF:Q2_K": 1.23,
    "hf.co/x/gemma-2-2b-it-GGUF:Q4_K_M": 1.71,
    "hf.co/x/gemma-2-2b-it-GGUF:Q5_K_M": 1.92,
    "hf.co/x/gemma-2-2b-it-GGUF:Q6_K": 2.15,
    "hf.co/x/gemma-2-2b-it-GGUF:Q8_0": 2.78,
    # TheBloke/Llama-2-*-chat-GGUF, 2023
    "hf.co/TheBloke/Llama-2-7B-chat-GGUF:Q4_K_M": 4.08,
    "hf.co/TheBloke/Llama-2-7B-chat-GGUF:Q5_K_M": 4.78,
    "hf.co/TheBloke/Llama-2-7B-chat-GGUF:Q6_K": 5.53,
    "hf.co/TheBloke/Llama-2-7B-chat-GGUF:Q8_0": 7.16,
    "hf.co/TheBloke/Llama-2-13B-chat-GGUF:Q4_K_M": 7.87,
    "hf.co/TheBloke/Llama-2-13B-chat-GGUF:Q5_K_M": 9.23,
    "hf.co/TheBloke/Llama-2-13B-chat-GGUF:Q6_K": 10.68,
    "hf.co/TheBloke/Llama-2-13B-chat-GGUF:Q8_0": 13.83,
    # gobean/Mixtral-8x7B-Instruct-v0.1-GGUF, 2024
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q3_K_M": 22.5,
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q4_0": 26.4,
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q4_K_M": 28.4,
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q5_0": 32.2,
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q5_K_M": 33.2,
    "hf.co/gobean/Mixtral-8x7B-Instruct-v0.1-GGUF:Q6_K": 38.4,
    "hf:thesven/Qwen2-7B-Instruct-awq": 5.57,
}


def off(computed: int, published: float) -> float:
    return computed / published - 1


@pytest.mark.parametrize("row", OLLAMA, ids=lambda row: row.name)
def test_as_the_registry_has_it(row: Published) -> None:
    """Files hold up to 15 MB besides the weights: tokens, template, licence."""
    size = size_of(row.name)
    error = off(size.weights.total, row.bytes)
    print(f"{row.name:40} {size.weights.format:8} {size.weights.total:>14,} {row.bytes:>14,} {error:+.2%}")  # noqa: T201  # `pytest -s` shows the table
    assert abs(error) < (0.03 if size.shape.parameters < SMALL else 0.005)
    assert abs(error) < size.error


@pytest.mark.parametrize("format", LLAMA_CPP)
def test_as_llama_quantize_says(format: str) -> None:
    size = size_of("llama3.1:8b", format=format)
    error = off(size.weights.total, LLAMA_CPP[format] * GIB)
    print(f"{format:8} {size.weights.total / GIB:.3f} {LLAMA_CPP[format]} {error:+.2%}")  # noqa: T201  # `pytest -s` shows the table
    assert abs(error) < 0.01


@pytest.mark.parametrize("name", CARDS)
def test_as_cards_say(name: str) -> None:
    size = size_of("x", source=name)
    error = off(size.weights.total, CARDS[name] * GB)
    print(f"{name:60} {size.weights.total / GB:.3f} {CARDS[name]} {error:+.2%}")  # noqa: T201  # `pytest -s` shows the table
    assert abs(error) < (0.03 if size.shape.parameters < SMALL else 0.01)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("TheBloke/Mixtral-8x7B-v0.1-GGUF:Q4_K_M", 26.4),
        ("TheBloke/Mixtral-8x7B-v0.1-GGUF:Q5_K_M", 32.2),
        ("TheBloke/Mixtral-8x7B-v0.1-GGUF:Q3_K_M", 20.4),
        ("localmodels/Llama-2-13B-GGUF:Q2_K", 5.51),
    ],
)
def test_mixes_of_2023_are_within_the_error(name: str, published: float) -> None:
    size = size_of("x", source=f"hf.co/{name}")
    error = off(size.weights.total, published * GB)
    print(f"{name:60} {size.weights.total / GB:.3f} {published} {error:+.2%}")  # noqa: T201
    assert abs(error) > 0.03
    assert (1 - size.error) * size.weights.total < published * GB < (1 + size.error) * size.weights.total


@pytest.mark.parametrize(
    ("name", "bytes", "of_weights"),
    [
        ("qwen3:8b", 5_225_388_164, 36 * 4096 * 1024),
        ("qwen3:14b", 9_276_198_565, 40 * 5120 * 1024),
        ("qwen3:32b", 20_201_253_588, 64 * 5120 * 1024),
    ],
)
def test_the_registry_has_mixes_of_its_own(name: str, bytes: int, of_weights: int) -> None:
    """Ollama's Qwen3 of April 2025 keeps `attn_v` in 16 bits: what its files have more than a usual q4_K_M."""
    usual = size_of(name, source="hf:Qwen/Qwen3-" + name.split(":")[1].upper(), format="q4_K_M").weights.total
    in_sixteen = of_weights * 2 - of_weights * (144 + 210) / 2 / 256
    assert abs(usual + in_sixteen - bytes) < 0.003 * bytes
    assert size_of(name).weights.total == bytes
    assert size_of(f"{name}-q4_K_M").weights.total == bytes
    assert size_of(f"{name}-q8_0").weights.total != bytes


def test_blocks_are_those_of_gguf() -> None:
    for name, (block, size) in BLOCKS.items():
        assert GGML_QUANT_SIZES[GGMLQuantizationType[name]] == (block, size), name


@pytest.mark.parametrize("name", known_names())
def test_every_known_name_has_a_size(name: str) -> None:
    size = size_of(name)
    assert size.weights.total > size.weights.embedding > 0
    assert size.known_from.startswith("the shipped table (")


def test_no_name_is_told_twice() -> None:
    names = known_names()
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize("format", [*GGML, *OTHER])
def test_every_format_can_be_computed(format: str) -> None:
    """Each between 2 and 33 bits a weight, and never less than the embedding."""
    dense, experts = known("llama3.2:3b"), known("qwen3:30b")
    assert dense and experts
    for form in (dense.form, experts.form):
        bits = weights_of(form, format).total * 8 / parameters(form)
        assert 2.5 < bits < 33
    assert canonical(format.upper()) == format


NAMES = [
    ("llama2:13b", "Llama 2 13B", "q4_0"),
    ("llama2:13b-chat-q5_K_M", "Llama 2 13B", "q5_K_M"),
    ("registry.ollama.ai/library/llama2:13b-chat", "Llama 2 13B", "q4_0"),
    ("mistral:7b-instruct-v0.2-fp16", "Mistral 7B", "f16"),
    ("qwen3:latest", "Qwen3 8B", "q4_K_M"),
    ("deepseek-r1:7b-qwen-distill-q8_0", "DeepSeek R1 Distill Qwen 7B", "q8_0"),
    ("meta-llama/Llama-2-13b-chat-hf", "Llama 2 13B", "bf16"),
    ("hf:Qwen/Qwen2.5-7B-Instruct", "Qwen2.5 7B", "bf16"),
    ("hf:Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen2.5 7B", "awq"),
    ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen2.5 7B", "gptq-int8"),
    ("openai/gpt-oss-20b", "gpt-oss 20B", "mxfp4"),
    ("hf.co/bartowski/google_gemma-3-27b-it-GGUF", "Gemma 3 27B", "q4_K_M"),
    ("hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:IQ4_XS", "Llama 3.1 8B", "iq4_XS"),
    ("https://huggingface.co/TheBloke/Llama-2-13B-chat-GGUF/resolve/main/llama-2-13b-chat.Q5_K_M.gguf",
     "Llama 2 13B", "q5_K_M"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "model", "format"), NAMES)
def test_names(name: str, model: str, format: str) -> None:
    found = known(name)
    assert found and (found.name, found.format) == (model, format)


@pytest.mark.parametrize(
    "name",
    ["", "-", "llama2:14b", "llama2:13b-q9_9", "gemma3:4b-it-qat", "someone/llama2:13b", "a/b/c", "hf:/", "hf.co/x/y",
     "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:IQ1_S", "llama2-13b", "-q4_0"],
)  # fmt: skip
def test_strange_names_are_not_guessed(name: str) -> None:
    assert known(name) is None
    with pytest.raises(FleetError, match="its size is not known"):
        size_of(name or "x")


SHAPE: dict[str, Any] = {
    "layers": 40, "hidden": 5120, "heads": 40, "kv_heads": 40, "head_dim": 128, "ffn": 13824, "vocab": 32000,
    "max_context": 4096,
}  # fmt: skip


def test_a_declared_shape_is_as_the_table() -> None:
    declared, shipped = size_of("mine", shape=SHAPE, format="q4_0"), size_of("llama2:13b")
    assert (declared.shape, declared.weights) == (shipped.shape, shipped.weights)
    assert declared.known_from == "its declared shape"
    assert size_of("llama2:13b-q8_0", shape=SHAPE).weights.format == "q8_0"


def refused(name: str, **given: Any) -> str:
    with pytest.raises(FleetError) as caught:
        size_of(name, **given)
    return str(caught.value)


def test_what_is_refused(tmp_path: Path) -> None:
    assert refused("x").startswith("models.x: its size is not known (got 'x'); add `shape` (a GGUF or")
    assert "models.x: its size is not known (got 'y:1b')" in refused("x", source="y:1b")
    assert "x.gguf is not on this machine; add `shape`" in refused("x", source="file:x.gguf", project=tmp_path)
    assert refused("x", shape=SHAPE).startswith("models.x.format: is missing, so its shape has no size; write one such")
    assert refused("x", format="q9").startswith("models.x.format: is no known format of weights (got 'q9'); write one")
    assert "models.x.shape.heads: is less than 1 (got 0)" in refused("x", shape={**SHAPE, "heads": 0})


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "x" * 5000, "~nobody-of-that-name"])
def test_a_path_that_cannot_be(name: str) -> None:
    with pytest.raises(FleetError, match=r"^models\.x: its file cannot be looked for \([^\n]+\); check"):
        size_of("x", source=f"file:{name}")


def test_a_plan_without_files_imports_no_numpy() -> None:
    """Every run of pyinfra would wait for it."""
    said = "import sys, inferfleet.ssh; sys.exit(bool({'numpy', 'gguf'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", said], check=True)
