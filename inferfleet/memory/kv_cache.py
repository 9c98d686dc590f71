"""The KV cache: what a model remembers of each sequence. Bytes and tokens.

For every layer and token an engine keeps one row of keys and one of values, `kv_heads x dim` elements each. Models with
MLA keep one latent row for both; layers with a window need not keep more than the window; layers without attention
(Mamba) keep none of it.
"""

from typing import Final

from inferfleet.memory.types import Attention, KvType, Shape

BLOCKS: Final[dict[KvType, tuple[int, int]]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "fp8": (1, 1),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
}
"""Elements and bytes of a block of each type (llama.cpp b10488, ggml/src/ggml-common.h: a scale, and a minimum for
`_1`, of two bytes each for 32 elements)."""


def padded(value: int, multiple: int) -> int:
    """The next multiple of a number."""
    return -(-value // multiple) * multiple


def row(kv_type: KvType, elements: int) -> int:
    """Bytes of one row; engines refuse rows that are no whole number of blocks."""
    per_block, size = BLOCKS[kv_type]
    return -(-elements // per_block) * size


def per_token_of(layers: Attention, kv_type: KvType, copies: int = 1) -> int:
    """What some layers keep of one token.

    Args:
        layers: those layers.
        kv_type: type of the cache.
        copies: how many times each head is kept (see `copies_of_heads`).
    """
    keys = row(kv_type, layers.kv_heads * layers.key_dim)
    values = row(kv_type, layers.kv_heads * layers.value_dim)
    return layers.layers * (keys + values) * copies


def per_token(shape: Shape, kv_type: KvType = "f16") -> int:
    """What all layers keep of a token while it is inside every window: 128 KiB for Llama-3-8B."""
    return sum(per_token_of(layers, kv_type) for layers in shape.attention)


def per_token_beyond(shape: Shape, kv_type: KvType = "f16") -> int:
    """What one more token costs once a sequence is longer than every window."""
    return sum(per_token_of(layers, kv_type) for layers in shape.attention if layers.window is None)


def per_sequence(shape: Shape, context: int, kv_type: KvType = "f16") -> int:
    """What one sequence of a length takes at least, whatever the engine: 1.6 GiB for LLaMA-13B at 2,048 tokens.

    Engines add padding and room for the batch at work; see `llama_cpp` and `servers`.
    """
    kept = ((layers, min(context, layers.window or context)) for layers in shape.attention)
    return shape.recurrent + sum(per_token_of(layers, kv_type) * tokens for layers, tokens in kept)


def copies_of_heads(layers: Attention, cards: int) -> int:
    """How often each head of keys and values is kept when heads are split over cards.

    A card without a head of its own holds a copy of another's, so beyond `kv_heads` cards the cache of each card stops
    shrinking (LMDeploy, docs/en/advance/context_parallel.md). The latent of MLA is one head, so every card has all.
    """
    return max(1, -(-cards // layers.kv_heads))
