"""llama.cpp's compute buffers: where the tensors of a graph lie while it runs. Bytes.

llama.cpp reserves them once, for the longest batch over a full cache (b10488, src/llama-context.cpp, sched_reserve),
and its allocator (ggml/src/ggml-alloc.c) reuses what is no longer needed, so a buffer is as big as the fullest moment
of the graph. Which moments these are was read off what llama-server 0.7.0 (build 11669) prints with its Vulkan backend
for 13 shapes with ten settings each. With flash attention the formulas meet that to 0.6 MiB; without it, and where the
feed-forward layer is narrower than 2.7 streams, they are up to two streams (`hidden x tokens`) too high.

What CUDA's own pool takes while a kernel runs is no part of these buffers; see `llama_cpp.DRIVER_CONTEXT` and `MARGIN`.
"""

from dataclasses import dataclass
from typing import Final

from inferfleet.memory.types import Shape

F32: Final = 4
F16: Final = 2

_STREAMS: Final = 4
"""Residual streams that lie in the buffer at any moment: the input, the sum, the norm, and the hole that one left."""

_NORMED_AGAIN: Final = frozenset({"gemma2", "gemma3", "gemma3n", "gemma4"})
"""They norm what each part gives once more, which takes one more stream, on the card."""

_COPIES: Final = 4
"""With several cards these work on different batches at once, each with inputs of its own (b10488, ggml/CMakeLists.txt,
GGML_SCHED_MAX_COPIES; src/llama-context.cpp, pipeline_parallel)."""

_STREAMS_MORE: Final = (11, 13, 6)
"""And streams in the buffer of the first card, that of a mixture of experts, and the host's; measured with 2 and 4."""


@dataclass(frozen=True)
class Work:
    """Buffers for work.

    Attributes:
        card: on each card.
        host: in the host's memory.
    """

    card: int
    host: int


@dataclass(frozen=True)
class Batch:
    """What the graph is reserved for.

    Attributes:
        tokens: at once.
        outputs: of these, tokens of which the next is asked: one for each sequence (b10488, server-context.cpp,
            server_output_limits).
        cells: of each kind of cache that there is (with and without a window), for one sequence.
        flash_attention: on or off.
    """

    tokens: int
    outputs: int
    cells: tuple[int, ...]
    flash_attention: bool


def compute_buffer(shape: Shape, batch: Batch, cards: int = 1) -> Work:
    """What llama-server prints as `compute buffer size`: for the card that needs most, and for the host.

    For the host it is with its `output buffer`.
    """
    masks = sum(batch.cells) * batch.tokens * (F16 if batch.flash_attention else F32)
    stream = batch.tokens * shape.hidden * F32
    fullest = max(_attention(shape, batch), _feed_forward(shape, batch))
    logits = batch.outputs * shape.vocab * F32
    on_card = _STREAMS + (shape.architecture in _NORMED_AGAIN)
    # With MLA the host also works on what several sequences found in the latent space, eight ninths of the keys' width.
    found = 8 * _latent(shape) * batch.tokens * F32 // 9 if batch.outputs > 1 else 0
    on_host = masks + max(_STREAMS * stream, 2 * stream + found) + logits
    alone = Work(masks + max(on_card * stream + fullest, logits), on_host)
    if cards < 2:
        return alone
    dense, experts, host = ((_COPIES - 1) * masks + streams * stream for streams in _STREAMS_MORE)
    return Work(alone.card + (experts if shape.experts_used else dense), alone.host + host)


def _feed_forward(shape: Shape, batch: Batch) -> int:
    """The gate, what it gates and their product; for experts rather what each of them gives, and that weighted."""
    width = 3 * shape.ffn
    if shape.experts_used:
        width = max(width, (2 * shape.experts_used + 1) * shape.hidden + _latent(shape))
    if not batch.flash_attention and shape.architecture in _NORMED_AGAIN:
        width += 2 * _queries(shape)
    return width * batch.tokens * F32


def _attention(shape: Shape, batch: Batch) -> int:
    """Queries and what they found, with MLA in and out of its latent space; without flash attention also the scores."""
    width = max(2 * _queries(shape), 9 * _latent(shape) // 4)
    if not batch.flash_attention:
        keys = max((layers.key_dim * layers.kv_heads for layers in shape.attention if layers.value_dim), default=0)
        width += 2 * keys + _latent(shape) + shape.heads * max(batch.cells, default=0)
    return width * batch.tokens * F32


def _queries(shape: Shape) -> int:
    """Width of the queries."""
    return max((layers.key_dim * shape.heads for layers in shape.attention if layers.value_dim), default=0)


def _latent(shape: Shape) -> int:
    """Width of the queries in the latent space of MLA; 0 without MLA."""
    return max((layers.key_dim * shape.heads for layers in shape.attention if not layers.value_dim), default=0)
