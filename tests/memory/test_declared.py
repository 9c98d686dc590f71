"""A declared shape: good ones, and one line for each mistake."""

from typing import Any

import pytest

from inferfleet.memory.declared import ShapeError, parse_form, parse_shape
from inferfleet.memory.types import Attention

GOOD: dict[str, Any] = {
    "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 14336, "vocab": 128256, "max_context": 8192,
}  # fmt: skip


def test_plain() -> None:
    shape = parse_shape(GOOD)
    assert shape.parameters == 8_030_261_248  # Llama 3 8B
    assert shape.attention == (Attention(32, 8, 128, 128),)
    assert (shape.architecture, shape.ffn, shape.max_context) == ("llama", 14336, 8192)


def test_experts() -> None:
    shape = parse_shape(GOOD | {"experts": 8, "experts_used": 2, "vocab": 32000})
    assert shape.parameters == 46_702_792_704  # Mixtral 8x7B
    assert shape.ffn == 2 * 14336


@pytest.mark.parametrize(
    ("window", "caches"),
    [
        ({"window": 512}, [(32, 512)]),
        ({"window": 512, "full_every": 2}, [(16, None), (16, 512)]),
        ({"window": 512, "full_every": 6}, [(5, None), (27, 512)]),
        ({"window": 512, "full_every": 1}, [(32, None)]),
    ],
)
def test_windows(window: dict[str, Any], caches: list[tuple[int, int | None]]) -> None:
    assert [(group.layers, group.window) for group in parse_shape(GOOD | window).attention] == caches


def test_mla() -> None:
    """DeepSeek V2 Lite: 15.7 billion parameters, 576 elements for each token and layer."""
    shape = parse_shape(
        {"layers": 27, "hidden": 2048, "heads": 16, "kv_heads": 16, "head_dim": 192, "value_dim": 128, "ffn": 10944,
         "vocab": 102400, "max_context": 163840, "experts": 64, "experts_used": 6, "expert_ffn": 1408,
         "shared_ffn": 2816, "dense_layers": 1, "latent": 512, "latent_rope": 64, "architecture": "deepseek2"}
    )  # fmt: skip
    assert shape.attention == (Attention(27, 1, 576, 0),)
    assert shape.parameters == 15_706_484_224
    assert shape.ffn == 6 * 1408 + 2816


BAD: list[tuple[dict[str, Any], str]] = [
    ({"layer": 32}, "layer: is no part of a shape; write one of layers, hidden, heads"),
    ({"layers": 0}, "layers: is less than 1 (got 0); the model's config.json has it"),
    ({"layers": "32"}, "layers: is no whole number (got '32')"),
    ({"layers": 32.0}, "layers: is no whole number (got 32.0)"),
    ({"layers": True}, "layers: is no whole number (got True)"),
    ({"layers": 10**9}, "layers: is more than any model has (got 1000000000)"),
    ({"ffn": -1}, "ffn: is less than 1 (got -1)"),
    ({"window": -1}, "window: is less than 0 (got -1)"),
    ({"tied": 1}, "tied: is neither True nor False (got 1)"),
    ({"architecture": ""}, "architecture: is no word (got '')"),
    ({"bias": "some"}, "bias: is no kind of bias (got 'some'); write one of none, qkv, all"),
    ({"bias": []}, "bias: is no word (got [])"),
    ({"kv_heads": 5}, "kv_heads: does not divide heads (got 5 for 32 heads); config.json calls it num_key_value_heads"),
    ({"hidden": 4095}, "head_dim: is missing, and 32 heads do not divide hidden 4095; write head_dim"),
    ({"experts": 8}, "experts_used: is not between 1 and experts 8 (got 0)"),
    ({"experts": 8, "experts_used": 9}, "experts_used: is not between 1 and experts 8 (got 9)"),
    ({"experts_used": 2}, "experts: is missing, and other numbers speak of experts"),
    ({"experts": 8, "experts_used": 2, "dense_layers": 33}, "dense_layers: is more than its 32 layers (got 33)"),
    ({"full_every": 2}, "window: is missing, and full_every speaks of windowed layers"),
    ({"window": 512, "full_every": 33}, "full_every: is more than its 32 layers (got 33)"),
    ({"latent_rope": 64}, "latent: is missing, and latent_rope speaks of MLA"),
    ({"latent": 512, "latent_rope": 128}, "latent_rope: is not less than head_dim 128 (got 128)"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said.split(" (")[0] for _, said in BAD])
def test_mistakes(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ShapeError) as caught:
        parse_form(GOOD | change)
    assert len(caught.value.mistakes) == 1
    assert str(caught.value).startswith(said)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ShapeError) as caught:
        parse_form({"layers": 0, "heads": "x", "wide": 1})
    wrong = [wrong.split(":")[0] for wrong, _ in caught.value.mistakes]
    assert sorted(wrong) == sorted(["wide", "hidden", "kv_heads", "ffn", "vocab", "max_context", "layers", "heads"])
