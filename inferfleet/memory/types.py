"""The nouns of the memory model. All sizes are bytes, all lengths tokens."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Attention:
    """Layers that keep the same cache.

    Attributes:
        layers: how many.
        kv_heads: heads of keys and values. For MLA 1: all heads share one latent.
        key_dim: elements of a key of one head. For MLA the latent and its rotary part together (DeepSeek: 512 + 64).
        value_dim: elements of a value of one head. For MLA 0: values are read from the latent.
        window: tokens that a layer looks back; None where it sees all.
    """

    layers: int
    kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None = None


@dataclass(frozen=True)
class Shape:
    """A model's form, from which its memory follows.

    Attributes:
        architecture: GGUF's word for it, such as `llama` or `gemma2`.
        attention: its layers by the cache that they keep; layers without a cache are in none.
        heads: query heads; tensor parallelism must divide them.
        hidden: width of the residual stream.
        ffn: widest feed-forward layer that runs at once (for MoE the active experts' together).
        vocab: tokens that it knows.
        parameters: weights in all, all experts counted.
        max_context: tokens it was made for.
        recurrent: bytes of state that one sequence keeps besides the cache (Mamba layers).
        experts_used: experts that work on one token; 0 where there is one feed-forward layer.
    """

    architecture: str
    attention: tuple[Attention, ...]
    heads: int
    hidden: int
    ffn: int
    vocab: int
    parameters: int
    max_context: int
    recurrent: int = 0
    experts_used: int = 0


@dataclass(frozen=True)
class Weights:
    """The weights as they lie in the file.

    Attributes:
        format: as users name it: `q4_K_M`, `f16`, `awq`.
        total: all of them.
        embedding: the table of input tokens, which llama.cpp keeps in the host's memory.
        tied: whether that table is the output layer as well, so that a copy of it lies on the card.
        input_only: further tables of input tokens (Gemma 3n's for each layer), in the host's memory, never on a card.
    """

    format: str
    total: int
    embedding: int
    tied: bool
    input_only: int = 0


@dataclass(frozen=True)
class ModelSize:
    """What is known of a model, and from where.

    Attributes:
        shape: its form.
        weights: its weights.
        known_from: for people: `the shipped table`, `models/tiny.gguf`, `its declared shape`.
        error: how far off the total of the weights may be, as a fraction of it; 0 where a file was read.
    """

    shape: Shape
    weights: Weights
    known_from: str
    error: float


KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "fp8"]


@dataclass(frozen=True)
class Serving:
    """How an engine shall serve a model.

    Attributes:
        engine: `ollama`, `vllm`, ...
        context: tokens of each sequence.
        parallel: sequences at once.
        kv_type: type of the cache.
        flash_attention: on or off.
        cards: over how many cards it is split; 0 where it runs on the host alone.
        stages: of these cards, groups that take the layers in turn; within each, every layer is split.
        batch: tokens at once where the model has a number of its own; None where the engine chooses.
    """

    engine: str
    context: int
    parallel: int
    kv_type: KvType = "f16"
    flash_attention: bool = True
    cards: int = 1
    stages: int = 1
    batch: int | None = None

    @property
    def split(self) -> int:
        """Over how many cards each layer is split, where engines do that."""
        return max(self.cards // self.stages, 1)


@dataclass(frozen=True)
class Need:
    """What one copy of a model takes, all of its cards together but where said.

    Attributes:
        weights: on the cards.
        kv_cache: of all sequences at once.
        overhead: what the engine adds on each card: context of the driver, compute buffers, activations.
        host: in the host's memory.
        disk: on the host's disk.
        kv_per_sequence: of the cache, for one sequence of the whole context.
        kv_per_token: of the cache, for one more token of one sequence beyond any window.
        cards: over how many cards it is split; 0 where it runs on the host alone.
        margin: what must stay free on each card besides, or the engine does not use the card as planned.
    """

    weights: int
    kv_cache: int
    overhead: int
    host: int
    disk: int
    kv_per_sequence: int
    kv_per_token: int
    cards: int = 1
    margin: int = 0

    @property
    def per_card(self) -> int:
        """What the fullest of its cards must hold."""
        return -(-(self.weights + self.kv_cache) // max(self.cards, 1)) + self.overhead

    @property
    def total(self) -> int:
        """On all of its cards together, were each as full as the fullest."""
        return self.weights + self.kv_cache + self.overhead * self.cards
