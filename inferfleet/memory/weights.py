"""Bytes of the weights of a model of a given form in a given format, tensor by tensor. Pure."""

from inferfleet.memory.form import Form
from inferfleet.memory.formats import GGML, ggml_bytes
from inferfleet.memory.quantize import tensor_type
from inferfleet.memory.tensors import Tensor, tensors
from inferfleet.memory.types import Weights

# Elements that share a scale in AWQ and GPTQ: what nearly all published models use.
GROUP = 128
# Linear layers, which AWQ, GPTQ, FP8 and bitsandbytes quantise; all else stays in 16 bits.
_LINEAR = (
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_qkv",
    "attn_kv_b",
    "attn_output",
    "ffn_up",
    "ffn_gate",
    "ffn_down",
    "latent",
)


def weights_of(form: Form, format: str) -> Weights:
    """The weights as they would lie in a file.

    Args:
        form: the model's.
        format: one of `formats.GGML` or `formats.OTHER`.
    """
    sizes = [(tensor, _bytes(form, format, tensor)) for tensor in tensors(form)]
    return Weights(
        format=format,
        total=sum(size for _, size in sizes),
        embedding=sum(size for tensor, size in sizes if tensor.kind == "embedding"),
        tied=form.tied,
    )


def _bytes(form: Form, format: str, tensor: Tensor) -> int:
    if format in GGML:
        return ggml_bytes(tensor_type(form, format, tensor), tensor.columns, tensor.rows)
    if format == "mxfp4":  # as OpenAI published gpt-oss, and Ollama took it over: the experts only
        return ggml_bytes("MXFP4" if tensor.experts else "BF16", tensor.columns, tensor.rows)
    if tensor.kind not in _LINEAR:
        return tensor.elements * 2
    return _linear(format, tensor)


def _linear(format: str, tensor: Tensor) -> int:
    """A linear layer with its scales, as the packages `autoawq`, `gptqmodel` and `bitsandbytes` write them."""
    n, matrices = tensor.elements, max(tensor.experts, 1)
    groups = -(-tensor.columns // GROUP) * tensor.rows
    if format == "awq":  # 4 bits; for each group a scale of 16 bits and a zero of 4
        return (n + 1) // 2 + groups * 5 // 2
    if format == "gptq":  # the same, and for each column its group
        return (n + 1) // 2 + groups * 5 // 2 + tensor.columns * matrices * 4
    if format == "gptq-int8":
        return n + groups * 3 + tensor.columns * matrices * 4
    if format == "bnb4":  # a byte for each 64 elements, and a float for each 256 of those
        return (n + 1) // 2 + n // 64 + n // 64 // 256 * 4
    return n + tensor.rows * 4  # fp8, int8, bnb8: a float for each row
