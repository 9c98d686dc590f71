"""Which type `llama-quantize` gives to each tensor of a mix such as Q4_K_M. Pure.

The rules are those of llama.cpp's `src/llama-quant.cpp` (`llama_tensor_get_type_impl`, read in mid 2026), without an
importance matrix. They have not changed for the formats here since early 2024. Files from before that differ in q2_K
(a tenth larger) and in models of eight experts (up to a tenth smaller).
"""

from collections.abc import Mapping

from inferfleet.memory.form import Form
from inferfleet.memory.formats import BLOCKS, GGML
from inferfleet.memory.tensors import Kind, Tensor

# A row that cannot be cut into blocks of 256 gets a type with blocks of 32.
_FALLBACK = {
    "IQ4_XS": "IQ4_NL",
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_VALUES: tuple[Kind, ...] = ("attn_v", "attn_qkv", "attn_kv_b")
_PLAIN: tuple[Kind, ...] = ("small", "router", "positions")
_OUTPUT: Mapping[str, str] = {"q2_K": "Q3_K", "q3_K_M": "Q4_K", "q3_K_L": "Q5_K"}
_OUTPUT_OF_EIGHT = ("q2_K", "q3_K_S", "q3_K_M", "q4_K_S", "q4_K_M", "iq4_NL", "iq4_XS")


def tensor_type(form: Form, mix: str, tensor: Tensor) -> str:
    """The ggml type of a tensor in a file of that mix.

    Args:
        form: the model's.
        mix: a key of `formats.GGML`.
        tensor: one of its tensors.
    """
    default = GGML[mix]
    if tensor.kind in _PLAIN:
        return "F32"
    if tensor.kind == "vision":
        return "F16"
    if default in ("F32", "F16", "BF16"):
        return default
    return _fitting(_wanted(form, mix, tensor), tensor.columns)


def _fitting(kind: str, columns: int) -> str:
    if columns % BLOCKS[kind][0]:
        kind = _FALLBACK.get(kind, "F16")
    return "F16" if columns % BLOCKS[kind][0] else kind


def _wanted(form: Form, mix: str, tensor: Tensor) -> str:
    default = GGML[mix]
    if tensor.kind == "output" or (form.tied and tensor.kind == "embedding"):
        return "Q8_0" if default == "Q8_0" or tensor.columns % BLOCKS[default][0] else "Q6_K"
    if tensor.kind in _VALUES:
        return _of_values(form, mix, tensor.layer)
    if tensor.kind == "attn_k" and form.experts == 8:
        return "Q8_0"
    if tensor.kind == "ffn_down":
        return _of_down(mix, tensor.layer, form.layers)
    if tensor.kind == "attn_output":
        if form.experts == 8:
            return "Q5_K" if mix in _OUTPUT_OF_EIGHT else default
        return _OUTPUT.get(mix, default)
    return default


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _of_values(form: Form, mix: str, layer: int) -> str:
    if form.experts == 8:
        return "Q8_0"
    shared = form.heads // form.kv_heads >= 4
    kind = GGML[mix]
    if mix == "q2_K":
        kind = "Q4_K" if shared else "Q3_K"
    elif mix == "q3_K_M":
        kind = "Q5_K" if layer < 2 else "Q4_K"
    elif mix == "q3_K_L" or (mix in ("iq4_NL", "iq4_XS") and shared) or (mix == "q4_K_S" and layer < 4):
        kind = "Q5_K"
    elif mix in ("q4_K_M", "q5_K_M") and _more_bits(layer, form.layers):
        kind = "Q6_K"
    if form.layers == 80 and form.heads != form.kv_heads and kind in ("Q3_K", "Q4_K"):  # its `LLM_TYPE_70B`
        kind = "Q5_K"
    return kind


def _of_down(mix: str, layer: int, layers: int) -> str:
    default = GGML[mix]
    if mix == "q2_K":
        return "Q3_K"
    if mix == "q3_K_M":
        return "Q5_K" if layer < layers // 16 else "Q4_K"
    if mix == "q3_K_L":
        return "Q5_K"
    if mix in ("q4_K_M", "q5_K_M") and _more_bits(layer, layers):
        return "Q6_K"
    if mix in ("q4_K_S", "iq4_NL", "iq4_XS") and layer < layers // 8:
        return "Q5_K"
    return default
