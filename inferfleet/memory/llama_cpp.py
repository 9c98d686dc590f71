"""What llama-server takes for a model, alone or started by Ollama: on its cards and on the host. Bytes and tokens.

Read in llama.cpp b10488, the build that Ollama 0.32.15 pins (LLAMA_CPP_VERSION), and held against the real program by
`tests/memory/test_llama_measured.py`. Ollama starts it with `-c <context x parallel> -np <parallel>`
(llm/llama_server.go), so each sequence has a cache of its own (`--kv-unified` is off once `-np` is given).
"""

from dataclasses import replace
from typing import Final

from inferfleet.memory.compute import Batch, compute_buffer
from inferfleet.memory.form import ENCODERS
from inferfleet.memory.kv_cache import padded, per_token_beyond, per_token_of
from inferfleet.memory.ollama_batch import batch_of
from inferfleet.memory.types import ModelSize, Need, Serving, Shape

MIB: Final = 1 << 20

CELLS: Final = 256
"""The context of a sequence, and the cells of a layer with a window, are multiples of this (b10488,
src/llama-context.cpp:288-294, src/llama-kv-cache-iswa.cpp:64)."""

# fmt: off
WINDOWED: Final = frozenset({
    "afmoe", "cohere2", "cohere2moe", "exaone-moe", "exaone4", "gemma2", "gemma3", "gemma3n", "gemma4", "gpt-oss",
    "laguna", "lfm2", "lfm2moe", "llama4", "mellum", "mimo2", "muse-glimmer", "olmo2", "plamo3", "smallthinker",
    "step35",
})
# fmt: on
"""Architectures whose layers with a window get a small cache (b10488: those that set `swa_type` in src/models).
In others every layer keeps the whole context, so in Mistral 7B 0.1 and in Phi-3."""

# fmt: off
ONE_AT_A_TIME: Final = frozenset({
    "mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe", "nemotron_h",
    "nemotron_h_moe", "nemotron_h_omni",
})
# fmt: on
"""Architectures that Ollama serves to one client at a time whatever it is told (0.32.15, server/sched.go, load). So it
does with models that only embed."""

DRIVER_CONTEXT: Final = 457 * MIB
"""What the driver's context takes of each card: what Ollama sets aside for it (0.32.15, ml/device.go,
MinimumMemory)."""

MARGIN: Final = 1024 * MIB
"""Must stay free on each card, or llama-server leaves layers on the host (b10488, `--fit-target`, common/fit.cpp)."""

PROCESS: Final = 512 * MIB
"""Host memory of llama-server itself and CUDA's libraries in it; an estimate."""

PROMPT_CACHE: Final = 8192 * MIB
"""Old prompts may fill as much of the host's memory besides (b10488, `--cache-ram`; Ollama leaves it so)."""


def need(size: ModelSize, serving: Serving, memory: int | None = None) -> Need:
    """What one copy takes when all of its layers are on its cards.

    Args:
        size: the model.
        serving: how it is served; with no cards, everything is the host's.
        memory: of all of its cards together, by which Ollama chooses its batch; None: the largest that it may choose.
    """
    shape, weights, serving = as_kept(size.shape), size.weights, as_run(size.shape, serving)
    batch = _batch(size, serving, memory)
    cache = kv_cache(shape, serving, batch.tokens)
    work = compute_buffer(shape, batch, serving.cards)
    on_cards = weights.total if weights.tied else weights.total - weights.embedding
    kept = Need(
        weights=on_cards,
        kv_cache=cache,
        overhead=DRIVER_CONTEXT + work.card + _uneven(size, on_cards, cache, serving.cards),
        host=weights.embedding + work.host + PROCESS,
        disk=weights.total,
        kv_per_sequence=cache // serving.parallel,
        kv_per_token=per_token_beyond(shape, serving.kv_type),
        cards=serving.cards,
        margin=MARGIN,
    )
    if serving.cards:
        return kept
    host = weights.total + cache + work.card + work.host + PROCESS
    return replace(kept, weights=0, kv_cache=0, overhead=0, margin=0, host=host)


def as_run(shape: Shape, serving: Serving) -> Serving:
    """How the model is served in the end: Ollama takes no more context than a model was made for, and some alone."""
    if serving.engine != "ollama":
        return serving
    parallel = 1 if shape.architecture in ONE_AT_A_TIME | ENCODERS else serving.parallel
    return replace(serving, context=min(serving.context, shape.max_context), parallel=parallel)


def as_kept(shape: Shape) -> Shape:
    """The shape as llama.cpp sees it: without the windows that it does not use."""
    if shape.architecture in WINDOWED:
        return shape
    return replace(shape, attention=tuple(replace(layers, window=None) for layers in shape.attention))


def kv_cache(shape: Shape, serving: Serving, batch: int) -> int:
    """Bytes of the cache of all sequences, as llama-server prints them (`KV buffer size`, `RS buffer size`)."""
    of_one = sum(
        per_token_of(layers, serving.kv_type) * cells(layers.window, serving, batch) for layers in shape.attention
    )
    return serving.parallel * (of_one + shape.recurrent)


def cells(window: int | None, serving: Serving, batch: int) -> int:
    """For how many tokens of one sequence a layer has room."""
    of_one = padded(padded(serving.context * serving.parallel, CELLS) // serving.parallel, CELLS)
    return of_one if window is None else padded(min(of_one, window + batch), CELLS)


def _batch(size: ModelSize, serving: Serving, memory: int | None) -> Batch:
    tokens = batch_of(size, serving, memory)
    windows = {layers.window for layers in as_kept(size.shape).attention}
    kept = tuple(sorted((cells(window, serving, tokens) for window in windows), reverse=True))
    return Batch(tokens, serving.parallel, kept, serving.flash_attention)


def _uneven(size: ModelSize, on_cards: int, cache: int, cards: int) -> int:
    """What the fullest card holds above the mean.

    llama.cpp gives equal cards equal numbers of whole layers, of which the output is the last (b10488,
    src/llama-model.cpp, get_layer_buft_list); the output is about as big as the embedding.
    """
    if cards < 2:
        return 0
    layers = max(sum(layers.layers for layers in size.shape.attention), 1)
    output = size.weights.embedding
    layer = (on_cards - output + cache) // layers
    first = -(-(layers + 1) // cards)
    last = layers - -(-(layers + 1) * (cards - 1) // cards)
    return max(first * layer, last * layer + output) - (on_cards + cache) // cards
