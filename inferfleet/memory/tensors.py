"""Every tensor of a model of a given form, as llama.cpp's converter names and fuses them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inferfleet.memory.form import Form

Kind = Literal[
    "embedding",
    "output",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_qkv",
    "attn_kv_b",
    "attn_output",
    "ffn_up",
    "ffn_gate",
    "ffn_down",
    "router",
    "latent",
    "positions",
    "small",
    "vision",
]


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        kind: what it does; `small` are norms and biases of one dimension.
        columns: elements of a row, which quantisation cuts into blocks.
        rows: rows, those of all experts counted.
        layer: its layer; -1 outside of layers.
        experts: how many experts it holds; 0 where it is no expert's.
    """

    kind: Kind
    columns: int
    rows: int = 1
    layer: int = -1
    experts: int = 0

    @property
    def elements(self) -> int:
        """How many weights it has."""
        return self.columns * self.rows


def tensors(form: Form) -> Iterator[Tensor]:
    """All tensors; layer by layer, as they lie in a file."""
    yield Tensor("embedding", form.hidden, form.vocab)
    if form.positions:
        yield Tensor("positions", form.hidden, form.positions)
    for layer in range(form.layers):
        yield from _attention(form, layer)
        yield from _feed_forward(form, layer)
        yield Tensor("small", form.hidden * form.norms, layer=layer)
    if not form.tied:
        yield Tensor("output", form.hidden, form.vocab)
    yield Tensor("small", form.hidden)
    if form.vision:
        yield Tensor("vision", form.vision)


def parameters(form: Form) -> int:
    """Weights in all, all experts counted."""
    return sum(tensor.elements for tensor in tensors(form))


def _attention(form: Form, layer: int) -> Iterator[Tensor]:
    queries, keys = form.heads * form.key_dim, form.kv_heads * form.key_dim
    values = form.kv_heads * form.values
    if form.latent:
        yield from _latent_attention(form, layer)
    elif form.fused:
        yield Tensor("attn_qkv", form.hidden, queries + keys + values, layer)
    else:
        yield Tensor("attn_q", form.hidden, queries, layer)
        yield Tensor("attn_k", form.hidden, keys, layer)
        yield Tensor("attn_v", form.hidden, values, layer)
    yield Tensor("attn_output", form.heads * form.values, form.hidden, layer)
    if form.bias in ("qkv", "all"):
        yield Tensor("small", queries + keys + values, layer=layer)
    if form.bias == "all":
        yield Tensor("small", form.hidden, layer=layer)
    if form.qk_norm:
        yield Tensor("small", 2 * form.key_dim, layer=layer)


def _latent_attention(form: Form, layer: int) -> Iterator[Tensor]:
    """DeepSeek's MLA; `attn_kv_b` in two tensors since llama.cpp of April 2025, of the same size together."""
    queries = form.heads * form.key_dim
    if form.q_latent:
        yield Tensor("latent", form.hidden, form.q_latent, layer)
        yield Tensor("latent", form.q_latent, queries, layer)
    else:
        yield Tensor("attn_q", form.hidden, queries, layer)
    yield Tensor("latent", form.hidden, form.latent + form.latent_rope, layer)
    yield Tensor("attn_kv_b", form.latent, form.heads * (form.key_dim - form.latent_rope + form.values), layer)
    yield Tensor("small", form.latent + form.q_latent, layer=layer)


def _feed_forward(form: Form, layer: int) -> Iterator[Tensor]:
    if not form.experts or layer < form.dense_layers:
        yield from _dense(form, layer, form.ffn, 0)
        return
    yield Tensor("router", form.hidden, form.experts, layer)
    yield from _dense(form, layer, form.expert_width, form.experts)
    if form.bias == "all":
        yield Tensor("small", form.experts, layer=layer)
    if form.shared_ffn:
        yield from _dense(form, layer, form.shared_ffn, 0)


def _dense(form: Form, layer: int, width: int, experts: int) -> Iterator[Tensor]:
    """Up, gate and down, of one layer or of all experts."""
    copies = max(experts, 1)
    ups = 2 if form.gated else 1
    if form.fused:
        yield Tensor("ffn_up", form.hidden, ups * width * copies, layer, experts)
    else:
        yield Tensor("ffn_up", form.hidden, width * copies, layer, experts)
        if form.gated:
            yield Tensor("ffn_gate", form.hidden, width * copies, layer, experts)
    yield Tensor("ffn_down", width, form.hidden * copies, layer, experts)
    if form.bias == "all":
        yield Tensor("small", (ups * width + form.hidden) * copies, layer=layer)
