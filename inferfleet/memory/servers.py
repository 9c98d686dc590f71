"""What engines take that keep a pool of the cache of their own: vLLM, SGLang, TGI, LMDeploy, TensorRT-LLM.

They put every weight on the cards, split it by tensor parallelism, and fill whatever memory they are given with the
pool; so this is the least that they must be given. Weights and cache follow from the shape. **The overhead is an
estimate**: it depends on versions, cards and options. Bytes and tokens.
"""

from typing import Final

from inferfleet.memory.kv_cache import copies_of_heads, padded, per_token_beyond, per_token_of
from inferfleet.memory.types import Attention, ModelSize, Need, Serving, Shape

MIB: Final = 1 << 20

BLOCK: Final = 16
"""Tokens that the cache is given out by (vLLM's `--block-size` on CUDA)."""

BATCH_TOKENS: Final = 8192
"""Tokens of prompts at once: the most among the defaults, that of vLLM on cards of 70 GiB and more (2,048 below)."""

CONTEXT: Final = 340 * MIB
"""CUDA's context and NCCL's buffers on each card: vLLM logs `non_torch_memory takes 0.33GiB` (vllm#14452)."""

GRAPHS: Final = 512 * MIB
"""CUDA graphs on each card: vLLM estimates 0.17 to 0.36 GiB in logs (vllm 0.21 to 0.27), SGLang's are larger."""

PROCESS: Final = 4096 * MIB
"""Host memory of the process of each card, with PyTorch and CUDA's libraries; an estimate."""

WINDOWED: Final = frozenset({"vllm"})
"""Engines whose layers with a window are counted by the window; others may keep it all, so all is counted."""


def need(size: ModelSize, serving: Serving) -> Need:
    """What one copy takes with room for `parallel` sequences of the whole context at once."""
    shape, weights = size.shape, size.weights
    one = shape.recurrent + sum(_kept(layers, serving) for layers in shape.attention)
    return Need(
        weights=weights.total,
        kv_cache=one * serving.parallel,
        overhead=CONTEXT + GRAPHS + activations(shape, serving),
        host=PROCESS * serving.cards,
        disk=weights.total,
        kv_per_sequence=one,
        kv_per_token=per_token_beyond(shape, serving.kv_type),
        cards=serving.cards,
    )


def _kept(layers: Attention, serving: Serving) -> int:
    """What some layers keep of a sequence, on all cards together; heads are copied where there are more cards."""
    tokens = padded(serving.context, BLOCK)
    if layers.window is not None and serving.engine in WINDOWED:
        # vLLM keeps the window, the prompt at work, and a block that the window's start cuts (kv_cache_interface.py).
        tokens = min(tokens, padded(layers.window - 1 + BATCH_TOKENS, BLOCK) + BLOCK)
    return per_token_of(layers, serving.kv_type, copies_of_heads(layers, serving.split)) * tokens


def activations(shape: Shape, serving: Serving) -> int:
    """The peak of what one card computes at once; an estimate.

    Four widths of the residual stream and three of the feed-forward layer in 16 bits for each token of the batch, and
    three copies of the logits in 32 bits for each sequence. It gives 1.9 GiB for Llama-3.1-8B with 4,096 tokens and
    1,024 sequences; a capacity of 207,536 tokens seen with vLLM at 0.9 of an RTX 6000 Ada leaves 2.0 GiB for it.
    """
    stream = 2 * BATCH_TOKENS * (4 * shape.hidden + 3 * shape.ffn // serving.split)
    return stream + 3 * 4 * serving.parallel * shape.vocab
