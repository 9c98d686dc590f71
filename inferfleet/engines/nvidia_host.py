"""What one host's NVIDIA driver must be, and which cards it must show: plain data, from the plan or by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inferfleet.placed import PlacedGpu

# The oldest driver branch that an engine's CUDA libraries run on. Ollama 0.32, docs/gpu.mdx: 550, and 570 for cards
# of compute capability 5.0 to 6.2.
FLOORS = {"ollama": ("Ollama", 550)}
OLD_CARDS_FLOOR = 570


@dataclass(frozen=True)
class NvidiaHost:
    """A host's NVIDIA cards and their driver, as they are declared.

    Attributes:
        gpus: its cards; those of other makes are nobody's business here.
        engines: which engines run on them.
        manage: whether the driver is installed and held by us.
        branch: which one then, such as `580`.
        modules: which kernel modules; None means what the cards need.
        source: base address of NVIDIA's repositories, one below it for each distribution.
        fingerprint: of the key that signs them; None means NVIDIA's own.
        proxy: environment of what fetches them.
    """

    gpus: tuple[PlacedGpu, ...]
    engines: tuple[str, ...] = ("ollama",)
    manage: bool = False
    branch: str | None = None
    modules: Literal["open", "proprietary"] | None = None
    source: str = "https://developer.download.nvidia.com/compute/cuda/repos"
    fingerprint: str | None = None
    proxy: Mapping[str, str] = field(default_factory=dict)

    @property
    def cards(self) -> tuple[PlacedGpu, ...]:
        """Those of its cards that are NVIDIA's."""
        return tuple(gpu for gpu in self.gpus if gpu.backend == "cuda")
