"""A model's form from the `config.json` of a Hugging Face directory. Pure but for `read_config`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inferfleet.errors import FleetError
from inferfleet.memory.declared import declared_form
from inferfleet.memory.form import Form
from inferfleet.memory.formats import canonical

_BY_HAND = "declare the model's shape and format"


class _Kind(NamedTuple):
    """What a `model_type` means: GGUF's word for it and what is no number of its config."""

    architecture: str
    fixed: Mapping[str, Any] = {}


_GEMMA = {"norms": 4}
_KINDS = {
    "llama": _Kind("llama"),
    "mistral": _Kind("llama"),
    "mixtral": _Kind("llama"),
    "qwen2": _Kind("qwen2", {"bias": "qkv"}),
    "qwen3": _Kind("qwen3", {"qk_norm": True}),
    "qwen3_moe": _Kind("qwen3moe", {"qk_norm": True}),
    "gemma2": _Kind("gemma2", {**_GEMMA, "full_every": 2}),
    "gemma3": _Kind("gemma3", {**_GEMMA, "full_every": 6, "qk_norm": True}),
    "gemma3_text": _Kind("gemma3", {**_GEMMA, "full_every": 6, "qk_norm": True}),
    "phi3": _Kind("phi3", {"fused": True}),
    "gpt_oss": _Kind("gpt-oss", {"bias": "all", "full_every": 2}),
    "deepseek_v2": _Kind("deepseek2"),
    "deepseek_v3": _Kind("deepseek2"),
}
# What transformers assumes of a tied output layer where a config does not say (`PretrainedConfig`: tied; each of these
# overrides it).
_UNTIED = (
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "phi3",
    "gpt_oss",
    "deepseek_v2",
    "deepseek_v3",
)
# Our names -> theirs, the first that the config has.
_NUMBERS = {
    "layers": ("num_hidden_layers",),
    "hidden": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "kv_heads": ("num_key_value_heads", "num_attention_heads"),
    "head_dim": ("head_dim",),
    "ffn": ("intermediate_size",),
    "vocab": ("vocab_size",),
    "max_context": ("max_position_embeddings",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "experts_used": ("num_experts_per_tok",),
    "expert_ffn": ("moe_intermediate_size",),
    "dense_layers": ("first_k_dense_replace",),
    "latent": ("kv_lora_rank",),
    "latent_rope": ("qk_rope_head_dim",),
    "q_latent": ("q_lora_rank",),
    "value_dim": ("v_head_dim",),
}


def read_config(directory: Path, where: str) -> Mapping[str, Any]:
    """The `config.json` of a directory; of a model with a tower for images the part of its language model.

    Raises:
        FleetError: there is none, or it is no JSON object.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FleetError(f"{where}: has no readable config.json ({error.strerror or error})", _BY_HAND) from error
    except (ValueError, RecursionError) as error:
        raise FleetError(f"{where}: its config.json is no JSON ({error})", "copy it again, whole") from error
    if not isinstance(config, dict):
        raise FleetError(f"{where}: its config.json is no JSON object", "copy it again, whole")
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config


def form_of(config: Mapping[str, Any], where: str) -> Form:
    """The form that a config describes.

    Raises:
        FleetError: an architecture that is not known here, or numbers that cannot be.
    """
    kind = _KINDS.get(str(config.get("model_type")))
    if kind is None:
        what = f"{where}: its architecture is not known here (model_type is {config.get('model_type')!r})"
        raise FleetError(what, _BY_HAND)
    data = {name: _first(config, theirs) for name, theirs in _NUMBERS.items()}
    data |= {"architecture": kind.architecture, "tied": _tied(config), **kind.fixed}
    data["shared_ffn"] = _number(config, "n_shared_experts", where) * _number(config, "moe_intermediate_size", where)
    if data["latent"]:
        data["head_dim"] = _number(config, "qk_nope_head_dim", where) + _number(config, "qk_rope_head_dim", where)
    data |= _windows(config, data, where)
    if (config.get("attention_bias") or config.get("mlp_bias")) and kind.architecture == "llama":
        data["bias"] = "all" if config.get("mlp_bias") else "qkv"
    return declared_form({name: value for name, value in data.items() if value is not None}, f"{where}: config.json")


def format_of(config: Mapping[str, Any], where: str) -> str:
    """The format of the weights that a config speaks of: its quantisation, or the type that it names.

    Raises:
        FleetError: a quantisation that is not known here.
    """
    quantised = config.get("quantization_config")
    if not isinstance(quantised, dict):
        return canonical(str(config.get("torch_dtype") or config.get("dtype") or "bf16")) or "bf16"
    method, bits = str(quantised.get("quant_method")), quantised.get("bits")
    if method == "gptq" and bits in (4, 8):
        return "gptq" if bits == 4 else "gptq-int8"
    if method == "awq" and bits in (4, None):
        return "awq"
    if method in ("fp8", "mxfp4"):
        return method
    if method == "bitsandbytes":
        return "bnb4" if quantised.get("load_in_4bit") else "bnb8"
    if method == "compressed-tensors" and (found := _compressed(quantised)):
        return found
    raise FleetError(f"{where}: its quantisation is not known here (quant_method {method!r}, bits {bits!r})", _BY_HAND)


def _compressed(quantised: Mapping[str, Any]) -> str | None:
    groups = quantised.get("config_groups")
    weights = [_object(_object(group).get("weights")) for group in _object(groups).values()]
    kinds = {f"{weight.get('type')} {weight.get('num_bits')}" for weight in weights}
    names = {"float 8": "fp8", "int 8": "int8", "int 4": "gptq"}
    return names.get(kinds.pop()) if len(kinds) == 1 else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(config: Mapping[str, Any], name: str, where: str) -> int:
    value = config.get(name) or 0
    if isinstance(value, int):
        return value
    raise FleetError(f"{where}: config.json: {name} is no whole number (got {value!r})", _BY_HAND)


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if config.get(name) is not None), None)


def _tied(config: Mapping[str, Any]) -> bool:
    said = config.get("tie_word_embeddings")
    return bool(said) if said is not None else config.get("model_type") not in _UNTIED


def _windows(config: Mapping[str, Any], data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Window and period; a config may list each layer's kind, or name a window and switch it off."""
    window, layers = _number(config, "sliding_window", where), data["layers"]
    beyond = window >= _number(config, "max_position_embeddings", where)
    if not window or config.get("use_sliding_window") is False or beyond:
        return {"window": 0, "full_every": 0}
    every = config.get("sliding_window_pattern") or data.get("full_every") or 0
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and isinstance(layers, int):
        full = kinds.count("full_attention")
        every = layers // full if full else 0
    return {"window": 0 if every == 1 else window, "full_every": 0 if every == 1 else every}
