"""The cache of published models is what others have published and measured."""

import pytest

from inferfleet.memory import Shape, kv_cache
from tests.memory.shapes import DEEPSEEK_V2_LITE, GEMMA_2_9B, GIB, KIB, LLAMA_3_8B, LLAMA_3_70B, LLAMA_13B, QWEN_25_7B


@pytest.mark.parametrize(
    ("shape", "kib"),
    [
        (LLAMA_13B, 800),
        (LLAMA_3_8B, 128),
        (LLAMA_3_70B, 320),
        (QWEN_25_7B, 56),
        (GEMMA_2_9B, 336),
        (DEEPSEEK_V2_LITE, 30.375),
    ],
)
def test_of_a_token(shape: Shape, kib: float) -> None:
    assert kv_cache.per_token(shape) == kib * KIB


@pytest.mark.parametrize(
    ("shape", "tokens", "gib"),
    [
        (LLAMA_13B, 2048, 1.5625),  # "up to 1.7 GB for a single sequence in LLaMA-13B", the paper on PagedAttention
        (LLAMA_3_8B, 2048, 0.25),
        (LLAMA_3_70B, 2048, 0.625),
        (LLAMA_3_8B, 40_208, 4.908),  # kvplan's example for an L4
        (GEMMA_2_9B, 32_768, 5.90625),  # half of the layers look back 4,096 tokens
    ],
)
def test_of_a_sequence(shape: Shape, tokens: int, gib: float) -> None:
    assert kv_cache.per_sequence(shape, tokens) / GIB == pytest.approx(gib, abs=0.001)


def test_smaller_types() -> None:
    assert kv_cache.per_token(LLAMA_3_8B, "q8_0") == 68 * KIB
    assert kv_cache.per_token(LLAMA_3_8B, "q4_0") == 36 * KIB
    assert kv_cache.per_token(LLAMA_3_8B, "fp8") == 64 * KIB


def test_beyond_the_window_only_full_layers_grow() -> None:
    assert kv_cache.per_token_beyond(GEMMA_2_9B) == 168 * KIB
    grown = kv_cache.per_sequence(GEMMA_2_9B, 5001) - kv_cache.per_sequence(GEMMA_2_9B, 5000)
    assert grown == 168 * KIB


def test_heads_are_copied_over_more_cards_than_heads() -> None:
    [layers] = QWEN_25_7B.attention
    assert [kv_cache.copies_of_heads(layers, cards) for cards in (1, 2, 4, 8)] == [1, 1, 1, 2]
