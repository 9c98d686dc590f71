"""What a plan consists of: instances with their cards and ports, node by node."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inferfleet.spec import Model, OllamaEngine
from inferfleet.spec.engine import Runtime


@dataclass(frozen=True)
class PlacedGpu:
    """A card as an instance gets it: the index its driver knows it by, and what is declared of it.

    The index is its position among the node's cards of the same backend.
    """

    index: int
    model: str
    uuid: str | None
    backend: Literal["cuda", "vulkan"]
    vram_gib: float | None = None


@dataclass(frozen=True)
class Instance:
    """One engine process: where it runs, on which cards, at which port, for which models.

    Its name is unique on its node and is the name of its systemd unit, container and log.
    """

    node: str
    name: str
    engine: Literal["ollama"]
    runtime: Runtime
    settings: OllamaEngine
    gpus: tuple[PlacedGpu, ...]
    port: int
    models: tuple[str, ...]

    @property
    def address(self) -> str:
        """`host:port` it listens on, an IPv6 host in brackets."""
        host = self.settings.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def image(self) -> str:
        """The image of its container."""
        return self.settings.image or f"ollama/ollama:{self.settings.version}"

    @property
    def processor(self) -> str:
        """`the GPU` or `the CPU`: where its models must run."""
        return "the GPU" if self.gpus else "the CPU"


@dataclass(frozen=True)
class PlacedModel:
    """A model by name, with what is declared of it."""

    name: str
    spec: Model


@dataclass(frozen=True)
class Server:
    """One replica of a model with an engine of its own: planned, and not set up by this version.

    Attributes:
        name: unique on its hosts.
        parts: each host with the cards that it gives; the first one listens.
        address: `host:port` on the first host.
        flags: the engine's memory settings, translated from what is planned.
    """

    name: str
    engine: str
    version: str
    model: str
    parts: tuple[tuple[str, tuple[PlacedGpu, ...]], ...]
    address: str
    flags: Mapping[str, str]
