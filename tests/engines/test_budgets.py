"""The planned bytes, translated for each engine and back by the engine's own arithmetic."""

import math
from collections.abc import Iterator
from itertools import product

import pytest

from inferfleet.catalogue import cards, engines
from inferfleet.engines.budgets import flags

MIB, GIB = 2**20, 2**30
PAGE = 2 * MIB
CARDS = [(card.usable, card.memory) for card in cards()]


def plans() -> Iterator[tuple[int, int, int, int, int]]:
    """Usable, total, weights, cache and overhead over all cards, from nearly nothing to nearly all."""
    for (usable, total), whole, weights, overhead in product(
        CARDS, (0.3, 0.77, 0.98), (0.15, 0.6, 0.85), (300 * MIB, 900 * MIB, 1700 * MIB)
    ):
        left = int(usable * whole) - overhead
        part = int(left * weights)
        if part > 0 and left - part > 64 * MIB:
            yield usable, total, part, left - part, overhead


def translated(engine: str, plan: tuple[int, int, int, int, int]) -> dict[str, str]:
    usable, total, weights, kv, overhead = plan
    return flags(
        engine, weights_per_card=weights, kv_per_card=kv, overhead_per_card=overhead, usable=usable, total=total
    )


def cache_by_vllm(given: dict[str, str], usable: int, weights: int, overhead: int, context: int) -> float:
    """`request_memory`, less what profiling finds: weights, activations, graphs."""
    return math.ceil(usable * float(given["--gpu-memory-utilization"])) - weights - overhead


def cache_by_sglang(given: dict[str, str], usable: int, weights: int, overhead: int, context: int) -> float:
    """`_profile_available_bytes`: free now, less the part of what was free before that shall stay free."""
    before = usable - context
    return before - weights - before * (1 - float(given["--mem-fraction-static"]))


def cache_by_tgi(given: dict[str, str], usable: int, weights: int, overhead: int, context: int) -> float:
    """`get_cuda_free_memory` after a warm-up, which left activations in PyTorch's hands."""
    fraction = float(given["--cuda-memory-fraction"]) * float(given["TGI_WIGGLE_ROOM"])
    assert float(given["--cuda-memory-fraction"]) <= 1 and float(given["TGI_WIGGLE_ROOM"]) < 1
    return (usable - weights - overhead) - (1 - fraction) * usable


def cache_by_lmdeploy(given: dict[str, str], usable: int, weights: int, overhead: int, context: int) -> float:
    """`CreateEngine`: a ratio below 1 of what is free once the weights are there."""
    ratio = float(given["--cache-max-entry-count"])
    assert 0 < ratio < 1
    return (usable - context - weights) * ratio


def cache_by_tensorrt_llm(given: dict[str, str], usable: int, weights: int, overhead: int, context: int) -> float:
    """`_cal_max_memory`: a fraction of the total less the peak."""
    fraction = float(given["--kv_cache_free_gpu_memory_fraction"])
    assert 0 < fraction <= 1
    return (usable - weights - overhead) * fraction


ARITHMETIC = {
    "vllm": cache_by_vllm,
    "sglang": cache_by_sglang,
    "tgi": cache_by_tgi,
    "lmdeploy": cache_by_lmdeploy,
    "tensorrt-llm": cache_by_tensorrt_llm,
}


@pytest.mark.parametrize("engine", ARITHMETIC)
def test_the_cache_comes_out_as_planned(engine: str) -> None:
    """Never less than planned, and beyond it less than the page that drivers hand out."""
    tried = 0
    for plan in plans():
        usable, _, weights, kv, overhead = plan
        context = min(overhead, 512 * MIB)
        cache = ARITHMETIC[engine](translated(engine, plan), usable, weights, overhead, context)
        assert kv - 1 <= cache < kv + PAGE
        assert weights + overhead + cache <= usable + PAGE
        tried += 1
    assert tried > 1000


@pytest.mark.parametrize("engine", ["sglang", "lmdeploy"])
@pytest.mark.parametrize("context", [0, 200 * MIB, 400 * MIB])
def test_a_smaller_context_never_takes_more_than_planned(engine: str, context: int) -> None:
    """What the driver's context is smaller, the cache may grow; all together stays within the plan."""
    for plan in plans():
        usable, _, weights, kv, overhead = plan
        assumed = min(overhead, 512 * MIB)
        actual = min(context, assumed)
        cache = ARITHMETIC[engine](translated(engine, plan), usable, weights, overhead, actual)
        assert cache >= kv - 1
        assert weights + cache + overhead - (assumed - actual) < weights + kv + overhead + PAGE


def test_ollama_leaves_the_rest_free() -> None:
    for plan in plans():
        usable, _, weights, kv, overhead = plan
        given = translated("ollama", plan)
        assert set(given) == {"LLAMA_ARG_FIT_TARGET"}
        bound = usable - int(given["LLAMA_ARG_FIT_TARGET"]) * MIB
        assert weights + kv + overhead <= bound < weights + kv + overhead + MIB


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ("vllm", {"--gpu-memory-utilization": "0.875000"}),
        ("sglang", {"--mem-fraction-static": "0.851064"}),
        ("tgi", {"--cuda-memory-fraction": "0.875876", "TGI_WIGGLE_ROOM": "0.999"}),
        ("lmdeploy", {"--cache-max-entry-count": "0.533334"}),
        ("tensorrt-llm", {"--kv_cache_free_gpu_memory_fraction": "0.571429"}),
        ("llama.cpp", {"--fit": "off", "--gpu-layers": "all"}),
        ("ollama", {"LLAMA_ARG_FIT_TARGET": "3072"}),
        ("triton", {}),
        ("fastchat", {}),
    ],
)
def test_one_plan_in_every_tongue(engine: str, given: dict[str, str]) -> None:
    """16 GiB of weights, 4 of cache and 1 of overhead on a card that leaves 24."""
    assert translated(engine, (24 * GIB, 25 * GIB, 16 * GIB, 4 * GIB, GIB)) == given


@pytest.mark.parametrize("engine", engines())
def test_every_engine_is_known(engine: str) -> None:
    assert isinstance(translated(engine, (24 * GIB, 25 * GIB, 16 * GIB, 4 * GIB, GIB)), dict)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize(
    "plan",
    [
        (24 * GIB, 25 * GIB, 20 * GIB, 4 * GIB, 1),
        (26 * GIB, 25 * GIB, 16 * GIB, 4 * GIB, GIB),
        (0, 25 * GIB, 0, 0, 0),
        (24 * GIB, 25 * GIB, 16 * GIB, -1, GIB),
    ],
    ids=["more than the card leaves", "leaves more than it has", "no card", "less than nothing"],
)
def test_what_cannot_be(engine: str, plan: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        translated(engine, plan)


@pytest.mark.parametrize("engine", ["sglang", "lmdeploy", "tgi"])
def test_not_to_the_last_byte(engine: str) -> None:
    """These engines must leave something, so a plan of all is refused rather than cut."""
    with pytest.raises(ValueError, match="the engine can be given"):
        translated(engine, (24 * GIB, 25 * GIB, 20 * GIB, 4 * GIB - 512 * MIB, 512 * MIB))


def test_unknown_engine() -> None:
    with pytest.raises(KeyError):
        translated("vlm", (24 * GIB, 25 * GIB, 16 * GIB, 4 * GIB, GIB))
