"""The shape and the weights of a model from a GGUF header, as llama.cpp reads it.

Keys are those of GGUF (`gguf.constants.Keys`), rules those of llama.cpp's `llama_model::load_hparams` and
`llama_hparams` as of mid 2026. A kind of cache that is not known here is refused, never guessed.
"""

from collections.abc import Iterator
from typing import Any

from inferfleet.errors import FleetError
from inferfleet.memory.form import ENCODERS
from inferfleet.memory.gguf_header import GgufFile
from inferfleet.memory.gguf_layers import cached_layers, state_bytes, window_of
from inferfleet.memory.types import Attention, Shape, Weights

_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
_MOST_LAYERS = 2000
_BY_HAND = "declare the model's shape and format"


class Keys:
    """A file's metadata by the names that follow the architecture.

    Args:
        file: the header.
        where: what an error line begins with.
    """

    def __init__(self, file: GgufFile, where: str) -> None:
        self.where, self._data = where, file.metadata
        self.architecture = str(file.metadata.get("general.architecture") or "")
        self.layers = self.number("block_count") - self.number("nextn_predict_layers", 0)
        if not 0 < self.layers <= _MOST_LAYERS:
            raise FleetError(f"{where}: has a strange number of layers (got {self.layers})", "copy it again, whole")

    def get(self, name: str) -> Any:
        """The value, None where the file has none."""
        return self._data.get(f"{self.architecture}.{name}")

    def has(self, prefix: str) -> bool:
        """Whether any key begins so."""
        return any(name.startswith(f"{self.architecture}.{prefix}") for name in self._data)

    def number(self, name: str, default: int | None = None) -> int:
        """A number; the largest of a list of one for each layer.

        Raises:
            FleetError: the file has none, or something else, and there is no default.
        """
        value = self.get(name)
        if _are_numbers(value) and value:
            value = max(value)
        if isinstance(value, int) and value >= 0:
            return value
        if value is None and default is not None:
            return default
        raise FleetError(f"{self.where}: does not say its {self.architecture}.{name} (got {value!r})", _BY_HAND)

    def by_layer(self, name: str, default: int) -> list[int]:
        """A number for each layer."""
        value = self.get(name)
        if _are_numbers(value) and len(value) >= self.layers:
            return [int(number) for number in value[: self.layers]]
        return [self.number(name, default)] * self.layers


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and one >= 0 for one in value)


def shape_of(file: GgufFile, where: str) -> Shape:
    """The shape of the model in a file.

    Raises:
        FleetError: it is no language model, or keeps something that is not known here.
    """
    keys = _checked(file, where)
    hidden, heads = keys.number("embedding_length"), keys.number("attention.head_count")
    tokens = file.tensors["token_embd.weight"].lengths[-1]
    return Shape(
        architecture=keys.architecture,
        attention=tuple(_attention(keys, hidden, heads)),
        heads=heads,
        hidden=hidden,
        ffn=_widest(keys),
        vocab=tokens,
        parameters=sum(tensor.elements for tensor in file.tensors.values()),
        max_context=keys.number("context_length"),
        recurrent=state_bytes(keys, hidden),
        experts_used=keys.number("expert_used_count", 0),
    )


def weights_in(file: GgufFile) -> Weights:
    """The weights as they lie in a file, to the byte."""
    first, further = (file.tensors[name].bytes if name in file.tensors else 0 for name in _TABLES)
    return Weights(
        format=file.format,
        total=sum(tensor.bytes for tensor in file.tensors.values()),
        embedding=first,
        tied="output.weight" not in file.tensors,
        input_only=further,
    )


def _checked(file: GgufFile, where: str) -> Keys:
    if "token_embd.weight" not in file.tensors or not file.metadata.get("general.architecture"):
        kind = file.metadata.get("general.architecture")
        raise FleetError(
            f"{where}: holds no language model (its architecture is {kind!r})", "name the model's own file"
        )
    keys = Keys(file, where)
    if keys.has("attention.indexer."):
        what = (
            f"{where}: its architecture {keys.architecture} keeps an index besides its cache, which is not known here"
        )
        raise FleetError(what, _BY_HAND)
    return keys


def _widest(keys: Keys) -> int:
    dense = keys.number("feed_forward_length", 0)
    if not keys.number("expert_count", 0):
        return dense
    expert = keys.number("expert_feed_forward_length", dense)
    shared = keys.number("expert_shared_feed_forward_length", keys.number("expert_shared_count", 0) * expert)
    active = keys.number("expert_used_count") * expert + shared
    return max(active, dense) if keys.number("leading_dense_block_count", 0) else active


def _attention(keys: Keys, hidden: int, heads: int) -> Iterator[Attention]:
    """Layers with equal caches together: those that see all tokens first, then in the file's order."""
    if keys.architecture in ENCODERS:
        return
    width = hidden // heads if heads else 0
    key, value = keys.number("attention.key_length", width), keys.number("attention.value_length", width)
    if keys.get("attention.key_length_mla") is not None:
        yield Attention(keys.layers, 1, key, 0)
        return
    near_key = keys.number("attention.key_length_swa", key)
    near_value = keys.number("attention.value_length_swa", value)
    kv_heads = keys.by_layer("attention.head_count_kv", heads)
    groups: dict[tuple[int, int, int, int | None], int] = {}
    for layer in cached_layers(keys, kv_heads):
        window = window_of(keys, layer)
        one = (kv_heads[layer], near_key, near_value, window) if window else (kv_heads[layer], key, value, None)
        groups[one] = groups.get(one, 0) + 1
    for (count, key_dim, value_dim, window), layers in sorted(groups.items(), key=lambda item: item[0][3] is not None):
        yield Attention(layers, count, key_dim, value_dim, window)
