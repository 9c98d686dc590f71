"""How many tokens Ollama lets llama-server work on at once: it decides what the compute buffers take.

Ollama 0.32.15, server/sched.go, automaticGenerationBatch and PredictServerVRAM.
"""

from typing import Final

from inferfleet.memory.form import ENCODERS
from inferfleet.memory.kv_cache import BLOCKS, padded
from inferfleet.memory.types import ModelSize, Serving

DEFAULT_BATCH: Final = 512
"""llama-server's own (`--ubatch-size`, b10488), and Ollama's for short contexts."""

_CONSTRAINED: Final = 256
_GIB: Final = 1 << 30
# Tokens at once, from which context on, what it may take, and how much of a card the model may fill for it.
_LARGER: Final = ((2048, 32768, 2 * _GIB, 60), (1024, 4096, 768 << 20, 75))


def predicted(size: ModelSize, serving: Serving) -> int:
    """What Ollama thinks that a model takes before it loads it; more with a batch that it has not chosen itself.

    It loads a second model into one server only below 80 % of what is free, and evicts another for it otherwise. The
    formula knows no windows, no types of the cache and no head sizes of their own: 2 bytes for `hidden / heads`.
    """
    shape = size.shape
    heads = min((layers.kv_heads for layers in shape.attention), default=1)
    layers = sum(layers.layers for layers in shape.attention)
    tokens = serving.context * serving.parallel
    cache = 2 * layers * heads * (shape.hidden // shape.heads) * tokens * BLOCKS["f16"][1]
    surcharge = next((takes for batch, _, takes, _ in _LARGER if (serving.batch or 0) >= batch), 0)
    return size.weights.total + cache + surcharge


def ollama_batch(size: ModelSize, serving: Serving, memory: int | None) -> int:
    """Tokens that Ollama gives llama-server at once (`-b` and `-ub`).

    Args:
        size: the model.
        serving: how it is served, with no more context than the model was made for.
        memory: free on all of its cards together; None where that is not known: then the most it may choose.
    """
    tokens = serving.context * serving.parallel
    if serving.batch is not None:
        return serving.batch if serving.batch > 0 else DEFAULT_BATCH
    if size.shape.architecture in ENCODERS:
        return DEFAULT_BATCH
    if not serving.flash_attention and serving.cards:
        small = memory is not None and memory <= 8 * _GIB * serving.cards
        return _CONSTRAINED if small and tokens > 4096 else DEFAULT_BATCH
    model = predicted(size, serving)
    for batch, above, takes, percent in _LARGER:
        if tokens <= above:
            continue
        if not memory or model <= min(memory * 80 // 100 - takes, memory * percent // 100):
            return batch
    return DEFAULT_BATCH


def batch_of(size: ModelSize, serving: Serving, memory: int | None) -> int:
    """The same for either program; never more than the whole context, as llama.cpp cuts it (src/llama-context.cpp)."""
    chosen = ollama_batch(size, serving, memory) if serving.engine == "ollama" else DEFAULT_BATCH
    return min(chosen, padded(serving.context * serving.parallel, 256))
