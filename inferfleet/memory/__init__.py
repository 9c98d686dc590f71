"""What a model takes of a card: weights, KV cache, what the engine adds. Bytes throughout; pure but for reading files.

`types` says what there is to know; `sizes` finds it (shipped table, a file's header, a declared shape); one file for
each family of engines turns it and the settings into a `Need`.
"""

from inferfleet.memory.types import Attention, ModelSize, Need, Serving, Shape, Weights

__all__ = ["Attention", "ModelSize", "Need", "Serving", "Shape", "Weights"]
