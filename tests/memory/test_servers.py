"""What vLLM and its like must be given."""

from dataclasses import replace

from inferfleet.memory import Serving, servers
from tests.memory.shapes import GEMMA_2_9B, GIB, KIB, LLAMA_3_8B, QWEN_25_7B, sized

VLLM = Serving("vllm", 40_208, 1)


def test_an_l4_serves_llama_3_8b() -> None:
    """kvplan: 14.96 GiB of weights, 4.91 of cache and an estimated 0.83 are 20.69 of the card's 22.49 GiB."""
    need = servers.need(sized(LLAMA_3_8B), VLLM)
    assert round(need.weights / GIB, 2) == 14.96
    assert need.kv_cache == 40_208 * 128 * KIB
    assert 0.8 * GIB < need.overhead < 2 * GIB
    assert need.per_card < 22.49 * GIB


def test_blocks() -> None:
    assert servers.need(sized(LLAMA_3_8B), replace(VLLM, context=17, parallel=3)).kv_cache == 3 * 32 * 128 * KIB


def test_heads_are_copied_over_more_cards_than_heads() -> None:
    four, eight = (servers.need(sized(QWEN_25_7B), replace(VLLM, cards=cards)) for cards in (4, 8))
    assert eight.kv_cache == 2 * four.kv_cache
    assert eight.weights == four.weights


def test_layers_in_turn_copy_no_heads() -> None:
    """Each of two groups of four cards has half of the layers, with as many heads on each card as one group has."""
    four = servers.need(sized(QWEN_25_7B), replace(VLLM, cards=4))
    twice = servers.need(sized(QWEN_25_7B), replace(VLLM, cards=8, stages=2))
    assert (twice.kv_cache, twice.overhead) == (four.kv_cache, four.overhead)


def test_windows_count_where_the_engine_uses_them() -> None:
    vllm, tgi = (servers.need(sized(GEMMA_2_9B), Serving(engine, 32768, 1)).kv_cache for engine in ("vllm", "tgi"))
    assert tgi == 32768 * 336 * KIB
    assert vllm == (32768 + 12288 + 16) * 168 * KIB
