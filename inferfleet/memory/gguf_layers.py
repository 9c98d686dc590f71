"""Which layers of a GGUF keep which cache: windows, layers without one, states of Mamba layers.

From llama.cpp's `llama_model::load_hparams` and `llama_hparams` as of mid 2026. Llama, Mistral, Qwen2 and Phi-3 files
may name a sliding window as well; llama.cpp does not honour it there, so neither do we.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from inferfleet.errors import FleetError


class Metadata(Protocol):
    """What is asked of a file's metadata; see `gguf_model.Keys`."""

    where: str
    architecture: str
    layers: int

    def get(self, name: str) -> object:
        """A value."""

    def has(self, prefix: str) -> bool:
        """Whether any key begins so."""

    def number(self, name: str, default: int | None = None) -> int:
        """A number."""

    def by_layer(self, name: str, default: int) -> list[int]:
        """A number for each layer."""


class _Windows(NamedTuple):
    """Of every `period` layers the last (or the first) sees all.

    Attributes:
        period: as said.
        full_first: as said.
        window: where the file names none.
        always: whatever window the file names.
    """

    period: int
    full_first: bool = False
    window: int = 0
    always: int = 0


# `set_swa_pattern` of each architecture; `gptoss` is Ollama's name for gpt-oss.
_WINDOWS = {
    "gemma2": _Windows(2, window=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "gpt-oss": _Windows(2),
    "gptoss": _Windows(2),
    "cohere2": _Windows(4),
    "olmo2": _Windows(4),
    "exaone4": _Windows(4, window=4096),
    "llama4": _Windows(4, window=8192, always=8192),
    "smallthinker": _Windows(4, full_first=True, always=4096),
    "afmoe": _Windows(4),
}
# Keeps a key and a value in its first layers only; the others read those (`n_layer_kv_from_start`).
_GEMMA3N_CACHED = 20
# A layer keeps a state: where it has no heads of keys; neither heads nor a feed-forward layer; all but every n-th; all
# (Falcon-H1's have a cache as well).
_NO_HEADS = ("jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe")
_NO_HEADS_NO_FFN = ("nemotron_h", "nemotron_h_moe")
_BUT_EVERY = ("qwen3next", "qwen35", "qwen35moe")
_ALL_STATE = ("mamba", "mamba2", "falcon-h1")
_STATES = ("ssm.", "shortconv.", "wkv.", "kda.", "token_shift_count", "linear_attn")


def window_of(keys: Metadata, layer: int) -> int | None:
    """How many tokens a layer looks back; None where it sees all."""
    pattern = keys.get("attention.sliding_window_pattern")
    rule = _WINDOWS.get(keys.architecture)
    if isinstance(pattern, list) and len(pattern) > layer:
        return keys.number("attention.sliding_window") if pattern[layer] else None
    if rule is None or (keys.architecture == "exaone4" and keys.layers != 64):
        return None
    window = keys.number("attention.sliding_window", rule.window)
    period = pattern if isinstance(pattern, int) and not isinstance(pattern, bool) else rule.period
    if not window or period == 1:
        return None
    full = period and layer % period == (0 if rule.full_first else period - 1)
    return None if full else rule.always or window


def cached_layers(keys: Metadata, kv_heads: list[int]) -> Iterator[int]:
    """The layers that keep keys and values."""
    last = keys.layers - keys.number("attention.shared_kv_layers", 0)
    if keys.architecture == "gemma3n":
        last = min(last, _GEMMA3N_CACHED)
    states = _state_layers(keys) if keys.architecture != "falcon-h1" else frozenset[int]()
    return (layer for layer in range(last) if kv_heads[layer] and layer not in states)


def state_bytes(keys: Metadata, hidden: int) -> int:
    """Bytes of the states that one sequence keeps, in floats of 32 bits (`n_embd_r` and `n_embd_s`).

    Raises:
        FleetError: states of a kind that is not known here.
    """
    layers = len(_state_layers(keys))
    if not layers:
        return 0
    if keys.get("shortconv.l_cache") is not None:
        return 4 * layers * hidden * (keys.number("shortconv.l_cache") - 1)
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    rolling = (keys.number("ssm.conv_kernel") - 1) * (inner + 2 * keys.number("ssm.group_count", 0) * state)
    return 4 * layers * (rolling + state * inner)


def _state_layers(keys: Metadata) -> frozenset[int]:
    kind = keys.architecture
    layers = range(keys.layers)
    if not any(keys.has(prefix) for prefix in _STATES):
        return frozenset()
    heads, ffn = keys.by_layer("attention.head_count_kv", 0), keys.by_layer("feed_forward_length", 0)
    if kind in _NO_HEADS:
        return frozenset(layer for layer in layers if not heads[layer])
    if kind in _NO_HEADS_NO_FFN:
        return frozenset(layer for layer in layers if not heads[layer] and not ffn[layer])
    if kind in _BUT_EVERY:
        if isinstance(said := keys.get("attention.recurrent_layers"), list):
            return frozenset(layer for layer, state in zip(layers, said, strict=False) if state)
        every = keys.number("full_attention_interval", 4)
        return frozenset(layer for layer in layers if not every or (layer + 1) % every)
    if kind in _ALL_STATE:
        return frozenset(layers)
    what = f"{keys.where}: its architecture {kind} keeps a state besides its cache, of a kind that is not known here"
    raise FleetError(what, "declare the model's shape and format")
