"""llama.cpp's compute buffers: where the tensors of a graph lie while it runs. Bytes.

llama.cpp reserves them once, for the longest batch over a full cache (b10488, src/llama-context.cpp, sched_reserve),
and its allocator reuses what is no longer needed, so the buffer is as big as the fullest moment of the graph.
"""

from dataclasses import dataclass
from typing import Final

from inferfleet.memory.types import Shape

F32: Final = 4


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
        outputs: of these, tokens of which the next is asked: one for each sequence.
        cells: of each cache that there is (with and without a window), for one sequence.
        flash_attention: on or off.
    """

    tokens: int
    outputs: int
    cells: tuple[int, ...]
    flash_attention: bool


def compute_buffer(shape: Shape, batch: Batch) -> Work:
    """What llama-server prints as `compute buffer size` for a card and the host, when all layers are on one card."""
    stream = batch.tokens * shape.hidden * F32
    masks = sum(batch.cells) * batch.tokens * (2 if batch.flash_attention else F32)
    layer = max(_attention(shape, batch), 2 * batch.tokens * shape.ffn * F32)
    logits = batch.outputs * shape.vocab * F32
    return Work(card=masks + max(3 * stream + layer, logits), host=masks + stream + logits)


def _attention(shape: Shape, batch: Batch) -> int:
    widest = max((layers.key_dim * (shape.heads + 2 * layers.kv_heads) for layers in shape.attention), default=0)
    scores = 0 if batch.flash_attention else shape.heads * max(batch.cells, default=0)
    return batch.tokens * (widest + scores) * F32
