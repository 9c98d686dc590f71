"""GGUF models of any shape whose weights are holes in the file: no disk, and the same memory in llama-server.

The keys and tensors are what llama.cpp b10488 asks for (src/models/*.cpp, load_arch_hparams and load_arch_tensors).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy

from inferfleet.memory import Attention, ModelSize, Shape, Weights

Kind = gguf.GGMLQuantizationType
Tensor = tuple[str, tuple[int, ...]]

LATENT, ROTARY, NOPE = 512, 64, 128
"""DeepSeek-V2's latent, the rotary part of its keys, and the rest of a head."""


@dataclass(frozen=True)
class Recipe:
    """A model to make.

    Attributes:
        every: of so many layers one sees all, the others `window` tokens.
        experts: how many; `used` of them for a token.
        kind: type of the weights.
    """

    arch: str
    layers: int
    heads: int
    kv_heads: int
    head: int
    hidden: int
    ffn: int
    vocab: int
    window: int | None = None
    every: int = 1
    experts: int = 0
    used: int = 0
    tied: bool = False
    kind: Kind = Kind.F16

    @property
    def latent(self) -> bool:
        return self.arch == "deepseek2"

    def shape(self, parameters: int) -> Shape:
        """What the memory model is told of it."""
        attention = self._attention()
        sizes = (self.heads, self.hidden, self.ffn * max(self.used, 1), self.vocab, parameters, 131072)
        return Shape(self.arch, attention, *sizes, experts_used=self.used)

    def _attention(self) -> tuple[Attention, ...]:
        if self.latent:
            return (Attention(self.layers, 1, LATENT + ROTARY, 0),)
        if self.window is None:
            return (Attention(self.layers, self.kv_heads, self.head, self.head),)
        full = self.layers // self.every
        parts = ((full, None), (self.layers - full, self.window))
        return tuple(Attention(layers, self.kv_heads, self.head, self.head, window) for layers, window in parts)


def write(recipe: Recipe, path: Path) -> ModelSize:
    """Make a model's file, and say what there is to know of it."""
    writer = gguf.GGUFWriter(path, recipe.arch)
    _add_keys(writer, recipe)
    sizes = {}
    tensors = list(_tensors(recipe))
    for name, dims in tensors:
        kind = Kind.F32 if len(dims) == 1 or "gate_inp" in name else recipe.kind
        per_block, size = gguf.GGML_QUANT_SIZES[kind]
        sizes[name] = math.prod(dims) // per_block * size
        writer.add_tensor_info(name, dims[::-1], numpy.dtype(numpy.float16), sizes[name], raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(sum(_padded(size) for size in (path.stat().st_size, *sizes.values())))
    weights = Weights(recipe.kind.name.lower(), sum(sizes.values()), sizes["token_embd.weight"], recipe.tied)
    return ModelSize(recipe.shape(sum(math.prod(dims) for _, dims in tensors)), weights, "its recipe", 0.0)


MODELS = {
    "all heads": Recipe("llama", 8, 16, 16, 64, 1024, 2816, 32000),
    "grouped heads": Recipe("llama", 8, 16, 4, 64, 1024, 3584, 48000),
    "biases, tied": Recipe("qwen2", 12, 14, 2, 64, 896, 4864, 64000, tied=True),
    "wide heads": Recipe("qwen3", 6, 32, 4, 128, 1024, 3072, 32000),
    "every second layer a window": Recipe("gemma2", 8, 8, 4, 128, 1152, 4608, 49152, 1024, 2, tied=True),
    "five of six layers a window": Recipe("gemma3", 12, 4, 1, 256, 1152, 4608, 49152, 512, 6, tied=True),
    "many experts": Recipe("qwen3moe", 6, 16, 4, 128, 1024, 384, 32000, experts=32, used=8),
    "eight experts": Recipe("llama", 6, 16, 4, 64, 1024, 1792, 32000, experts=8, used=2),
    "latent attention": Recipe("deepseek2", 27, 8, 1, 0, 512, 256, 32000, experts=8, used=4),
    "8 bits": Recipe("llama", 8, 16, 8, 128, 2048, 5632, 48000, kind=Kind.Q8_0),
}
"""80 to 900 MiB each, of every kind of layer that the memory model tells apart."""


def _padded(size: int) -> int:
    return gguf.GGUFWriter.ggml_pad(size, gguf.GGUF_DEFAULT_ALIGNMENT)


def _add_keys(writer: gguf.GGUFWriter, recipe: Recipe) -> None:
    writer.add_context_length(131072)
    writer.add_embedding_length(recipe.hidden)
    writer.add_block_count(recipe.layers)
    writer.add_feed_forward_length(recipe.ffn)
    writer.add_head_count(recipe.heads)
    writer.add_head_count_kv(1 if recipe.latent else recipe.kv_heads)
    writer.add_key_length(LATENT + ROTARY if recipe.latent else recipe.head)
    writer.add_value_length(LATENT if recipe.latent else recipe.head)
    writer.add_rope_dimension_count(ROTARY if recipe.latent else recipe.head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(recipe.vocab)
    writer.add_tokenizer_model("no_vocab")
    if recipe.window is not None:
        writer.add_sliding_window(recipe.window)
    if recipe.experts:
        writer.add_expert_count(recipe.experts)
        writer.add_expert_used_count(recipe.used)
        writer.add_expert_feed_forward_length(recipe.ffn)
    if recipe.latent:
        writer.add_kv_lora_rank(LATENT)
        writer.add_key_length_mla(NOPE + ROTARY)
        writer.add_value_length_mla(NOPE)
        writer.add_expert_shared_count(1)


def _tensors(recipe: Recipe) -> Iterator[Tensor]:
    yield "token_embd.weight", (recipe.hidden, recipe.vocab)
    yield "output_norm.weight", (recipe.hidden,)
    if not recipe.tied:
        yield "output.weight", (recipe.hidden, recipe.vocab)
    for layer in range(recipe.layers):
        for tensors in (_attention(recipe), _norms(recipe), _feed_forward(recipe)):
            yield from ((f"blk.{layer}.{name}", dims) for name, dims in tensors)


def _attention(recipe: Recipe) -> Iterator[Tensor]:
    hidden, heads = recipe.hidden, recipe.heads
    if recipe.latent:
        yield "attn_q.weight", (hidden, heads * (NOPE + ROTARY))
        yield "attn_kv_a_mqa.weight", (hidden, LATENT + ROTARY)
        yield "attn_kv_a_norm.weight", (LATENT,)
        yield "attn_k_b.weight", (NOPE, LATENT, heads)
        yield "attn_v_b.weight", (LATENT, NOPE, heads)
        yield "attn_output.weight", (heads * NOPE, hidden)
        return
    parts = {"q": heads * recipe.head, "k": recipe.kv_heads * recipe.head, "v": recipe.kv_heads * recipe.head}
    for name, width in parts.items():
        yield f"attn_{name}.weight", (hidden, width)
        if recipe.arch == "qwen2":
            yield f"attn_{name}.bias", (width,)
    yield "attn_output.weight", (heads * recipe.head, hidden)


def _norms(recipe: Recipe) -> Iterator[Tensor]:
    yield "attn_norm.weight", (recipe.hidden,)
    yield "ffn_norm.weight", (recipe.hidden,)
    if recipe.arch in ("gemma2", "gemma3"):
        yield "post_attention_norm.weight", (recipe.hidden,)
        yield "post_ffw_norm.weight", (recipe.hidden,)
    if recipe.arch in ("gemma3", "qwen3", "qwen3moe"):
        yield "attn_q_norm.weight", (recipe.head,)
        yield "attn_k_norm.weight", (recipe.head,)


def _feed_forward(recipe: Recipe) -> Iterator[Tensor]:
    sizes = {
        "gate": (recipe.hidden, recipe.ffn),
        "up": (recipe.hidden, recipe.ffn),
        "down": (recipe.ffn, recipe.hidden),
    }
    if recipe.experts:
        yield "ffn_gate_inp.weight", (recipe.hidden, recipe.experts)
    for name, dims in sizes.items():
        if recipe.experts:
            yield f"ffn_{name}_exps.weight", (*dims, recipe.experts)
        if recipe.latent:
            yield f"ffn_{name}_shexp.weight", dims
        elif not recipe.experts:
            yield f"ffn_{name}.weight", dims
