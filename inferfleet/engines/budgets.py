"""The planned memory of a model on a card, in the number that each engine wants.

Memory is planned once, in bytes. Engines mean different things by a fraction of it; read from their source:

vLLM            of what CUDA calls the device's total; weights, peak of activations, graphs and cache share it
                (`request_memory`, vllm/v1/worker/utils.py: `ceil(total_memory * gpu_memory_utilization)`, the total
                from cudaMemGetInfo; docs of v0.32.0 say the same).
SGLang          of what is free before the weights are loaded; weights and cache share it (`_profile_available_bytes`:
                `free now - free before * (1 - mem_fraction_static)` is the cache; sgl-project/sglang of Aug 2026).
                SGLANG_ENABLE_POST_CAPTURE_KV_SIZING, off by default, would let the graphs share it too.
TGI             of CUDA's total, times TGI_WIGGLE_ROOM, 0.90 by default and always below 1; all that it holds shares
                it (server/text_generation_server/utils/import_utils.py and models/flash_causal_lm.py, db931fcf).
LMDeploy        of what is free once the weights are loaded, for the cache; below 1 (src/turbomind/turbomind.cc,
                `CreateEngine`, InternLM/lmdeploy 1263d5cd; the PyTorch engine takes its runtime buffers off first).
TensorRT-LLM    of CUDA's total less the peak of all but the cache, for the cache (`_cal_max_memory`,
                tensorrt_llm/_torch/pyexecutor/_util.py of 1.2).
llama.cpp       no number: the context is given, and nothing may be shrunk to fit (tools/server/README.md).
Ollama          MiB per card that its llama-server must leave free (`LLAMA_ARG_FIT_TARGET`, envconfig/config.go of
                v0.33.0-rc2). OLLAMA_GPU_OVERHEAD, in bytes, means the same before 0.30 and nothing from then on.

So the device's total is CUDA's here (`Card.usable`), which lacks what the driver keeps; nvidia-smi's total is larger,
and a fraction of it would come out too small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

_MIB = 2**20
# Fractions are rounded up to this many digits, so that the cache never lacks a block: up to a millionth of the card,
# 190 KB of the largest, may be taken beyond the plan. Drivers hand out memory in pages of 2 MiB.
_DIGITS = 6
# What CUDA and NCCL hold of the overhead before any weight is loaded, which SGLang and LMDeploy never see as free.
# Holds an engine less, its cache grows by no more than that; holds it more, the cache falls short by a part of it.
_CONTEXT = 512 * _MIB
# The most of a card that an engine can be given: TGI's launcher, SGLang and LMDeploy want less than 1.
_WIGGLE_ROOM = 0.999


@dataclass(frozen=True)
class _Plan:
    weights: int
    kv: int
    overhead: int
    usable: int

    @property
    def all(self) -> int:
        return self.weights + self.kv + self.overhead

    @property
    def context(self) -> int:
        return min(self.overhead, _CONTEXT)


def most(usable: int) -> int:
    """What any of these engines can be given of a card that, empty, leaves so many bytes to processes."""
    return int(usable * _WIGGLE_ROOM)


def flags(
    engine: str, *, weights_per_card: int, kv_per_card: int, overhead_per_card: int, usable: int, total: int
) -> dict[str, str]:
    """Options and environment that make an engine take what is planned; names beginning with `--` are options.

    Empty for engines that have no such number, or take it from the engine inside them.

    Args:
        engine: its key: `vllm`, `llama.cpp`, ...
        weights_per_card: bytes of weights on the fullest card.
        kv_per_card: bytes of cache on it, all sequences at once.
        overhead_per_card: bytes of all the rest there: the driver's context, activations, graphs, buffers.
        usable: bytes that the card, empty, leaves to processes.
        total: bytes that its driver reports in all.

    Raises:
        ValueError: the plan exceeds the card, or the engine cannot be given that much of it.
        KeyError: no such engine.
    """
    plan = _Plan(weights_per_card, kv_per_card, overhead_per_card, usable)
    if min(plan.weights, plan.kv, plan.overhead) < 0 or not 0 < usable <= total:
        raise ValueError("sizes of memory are bytes, and a card leaves at most its total to processes")
    if plan.all > usable:
        raise ValueError(f"{plan.all} bytes are planned for a card that leaves {usable}")
    return _ENGINES[engine](plan)


def _vllm(plan: _Plan) -> dict[str, str]:
    return {"--gpu-memory-utilization": _fraction(plan.all, plan.usable)}


def _sglang(plan: _Plan) -> dict[str, str]:
    free = plan.usable - plan.context
    return {"--mem-fraction-static": _fraction(plan.weights + plan.kv, free, below_one=True)}


def _tgi(plan: _Plan) -> dict[str, str]:
    fraction = _fraction(plan.all, most(plan.usable))
    return {"--cuda-memory-fraction": fraction, "TGI_WIGGLE_ROOM": str(_WIGGLE_ROOM)}


def _lmdeploy(plan: _Plan) -> dict[str, str]:
    if not plan.kv:  # an encoder's, or that of a model of which the memory is declared as one number
        return {}
    free = plan.usable - plan.context - plan.weights
    return {"--cache-max-entry-count": _fraction(plan.kv, free, below_one=True)}


def _tensorrt_llm(plan: _Plan) -> dict[str, str]:
    return {"--kv_cache_free_gpu_memory_fraction": _fraction(plan.kv, plan.usable - plan.weights - plan.overhead)}


def _llama_cpp(plan: _Plan) -> dict[str, str]:
    return {"--fit": "off", "--gpu-layers": "all"}


def _ollama(plan: _Plan) -> dict[str, str]:
    return {"LLAMA_ARG_FIT_TARGET": str((plan.usable - plan.all) // _MIB)}


def _nothing(plan: _Plan) -> dict[str, str]:
    return {}


_ENGINES: dict[str, Callable[[_Plan], dict[str, str]]] = {
    "ollama": _ollama,
    "llama.cpp": _llama_cpp,
    "vllm": _vllm,
    "sglang": _sglang,
    "tgi": _tgi,
    "lmdeploy": _lmdeploy,
    "tensorrt-llm": _tensorrt_llm,
    "triton": _nothing,
    "deepspeed-mii": _nothing,
    "fastertransformer": _nothing,
    "turbotransformers": _nothing,
    "xinference": _nothing,
    "fastchat": _nothing,
}


def _fraction(part: int, whole: int, below_one: bool = False) -> str:
    """Rounded up in whole numbers: floats would be off by more than the last digit here and there.

    Raises:
        ValueError: more than the engine can be given, or nothing at all.
    """
    scale = 10**_DIGITS
    scaled = -(-part * scale // whole) if whole > 0 else math.inf
    if scaled > scale - below_one or scaled <= 0:
        limit = "less than all" if below_one else "at most all"
        raise ValueError(f"the engine can be given {limit} of {whole} bytes, and some of them (planned {part})")
    return f"{scaled / scale:.{_DIGITS}f}"
