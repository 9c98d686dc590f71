"""A decoder's (or an encoder's) form in the few numbers that its `config.json` holds, and what follows from them.

The shipped table, a Hugging Face `config.json` and a shape that a user declares all become a `Form`: from it follow
the `Shape` (what a cache needs) and, in `tensors`, every tensor of the weights.
"""

from dataclasses import dataclass

from inferfleet.memory.types import Attention, Shape

# Models that read a text at once and keep no cache (llama.cpp's `causal_attn` is false for them).
ENCODERS = frozenset(
    {
        "bert",
        "nomic-bert",
        "nomic-bert-moe",
        "jina-bert-v2",
        "jina-bert-v3",
        "neo-bert",
        "modern-bert",
        "eurobert",
        "gemma-embedding",
        "t5encoder",
    }
)


@dataclass(frozen=True)
class Form:
    """The numbers; a user writes these names in an inventory.

    Attributes:
        layers: transformer blocks.
        hidden: width of the residual stream.
        heads: query heads.
        kv_heads: heads of keys and values.
        head_dim: elements of a head of queries and keys; 0: hidden / heads.
        ffn: width of the feed-forward layer; for MoE of the dense layers, and of each expert where `expert_ffn` is 0.
        vocab: tokens.
        max_context: tokens it was made for.
        architecture: GGUF's word for it.
        value_dim: elements of a value head; 0: as `head_dim`.
        experts: experts of each MoE layer; 0: no MoE.
        experts_used: how many of them run for one token.
        expert_ffn: width of one expert; 0: as `ffn`.
        shared_ffn: width of the expert that always runs; 0: none.
        dense_layers: how many of the first layers are no MoE layers.
        window: tokens that a windowed layer looks back; 0: no layer is windowed.
        full_every: every n-th layer sees all tokens, the others the window; 0: all layers are windowed.
        latent: rank of MLA's compressed keys and values; 0: no MLA.
        latent_rope: rotary part of an MLA key.
        q_latent: rank of MLA's compressed queries; 0: not compressed.
        tied: the table of input tokens is the output layer as well.
        bias: which linear layers have biases: `none`, `qkv`, `all`.
        fused: queries, keys and values lie in one tensor, gate and up in another (Phi-3).
        gated: the feed-forward layer has a gate (SwiGLU, GEGLU).
        positions: learned positions; 0: none (rotary).
        norms: vectors of `hidden` in each layer's norms.
        qk_norm: queries and keys are normalised for each head.
        vision: parameters of an image tower in the same file, kept in 16 bits.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    max_context: int
    head_dim: int = 0
    architecture: str = "llama"
    value_dim: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    window: int = 0
    full_every: int = 0
    latent: int = 0
    latent_rope: int = 0
    q_latent: int = 0
    tied: bool = False
    bias: str = "none"
    fused: bool = False
    gated: bool = True
    positions: int = 0
    norms: int = 2
    qk_norm: bool = False
    vision: int = 0

    @property
    def key_dim(self) -> int:
        """Elements of a head of queries and keys."""
        return self.head_dim or self.hidden // self.heads

    @property
    def values(self) -> int:
        """Elements of a head of values."""
        return self.value_dim or self.key_dim

    @property
    def expert_width(self) -> int:
        """Width of one expert."""
        return self.expert_ffn or self.ffn

    @property
    def widest(self) -> int:
        """Widest feed-forward layer that runs at once."""
        if not self.experts:
            return self.ffn
        active = self.experts_used * self.expert_width + self.shared_ffn
        return max(active, self.ffn) if self.dense_layers else active

    def attention(self) -> tuple[Attention, ...]:
        """Its layers by the cache that they keep: those that see all tokens first."""
        if self.architecture in ENCODERS:
            return ()
        if self.latent:
            return (Attention(self.layers, 1, self.latent + self.latent_rope, 0),)
        full = self.layers
        if self.window:
            full = self.layers // self.full_every if self.full_every else 0
        groups = ((full, None), (self.layers - full, self.window))
        return tuple(Attention(n, self.kv_heads, self.key_dim, self.values, window) for n, window in groups if n)

    def shape(self, parameters: int) -> Shape:
        """What a cache needs to know, with the count of its weights."""
        return Shape(
            architecture=self.architecture,
            attention=self.attention(),
            heads=self.heads,
            hidden=self.hidden,
            ffn=self.widest,
            vocab=self.vocab,
            parameters=parameters,
            max_context=self.max_context,
            experts_used=self.experts_used if self.experts else 0,
        )
