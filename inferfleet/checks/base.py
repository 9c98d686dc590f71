"""What a check is: a sentence about one node, and a way to find out whether it holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from inferfleet.calibration import Source
from inferfleet.engines.container_host import Container

UNREACHED = "the host could not be asked"
"""How the reason of a check begins that found nobody to ask."""


@dataclass(frozen=True)
class Peak:
    """What a model was seen to take of the cards of its instance, by the way.

    Attributes:
        address: of the instance.
        model: its full name.
        size: bytes, on all cards together.
        by: who counted.
    """

    address: str
    model: str
    size: int
    by: Source


class Target(Protocol):
    """A host that checks may ask.

    Attributes:
        peaks: what checks have measured there while they asked.
    """

    peaks: list[Peak]

    @property
    def report(self) -> dict[str, Any]:
        """What the host says of its Ollama (`remote/ollama_state.py`), asked once."""

    @property
    def containers(self) -> dict[str, Any]:
        """What the host says of its containers (`remote/container_state.py`), asked once."""

    @property
    def declared_containers(self) -> dict[str, Container]:
        """What its containers must be, by name, with the UUIDs that the host says its cards have."""

    @property
    def gpus(self) -> dict[str, Any]:
        """What the host says of its NVIDIA cards (`inferfleet.probe`), asked once."""

    def gpus_now(self) -> dict[str, Any]:
        """The same, asked anew."""

    @property
    def container_cards(self) -> dict[str, Any]:
        """Which cards each container sees and may open (`remote/container_cards.py`), asked once."""

    @property
    def gateway(self) -> dict[str, Any]:
        """What the gateway on the host answers (`remote/gateway_ask.py`), asked once."""

    def processes(self) -> dict[str, list[int]]:
        """The processes of each instance (`remote/engine_processes.py`), asked anew."""

    @property
    def listening(self) -> list[tuple[str, int]]:
        """Addresses and TCP ports on which anything listens, asked once."""

    def ask(self, address: str, model: str, prompts: list[str], tokens: int) -> dict[str, Any]:
        """Answers of a model at an address, and where it was computed (`remote/ollama_ask.py`)."""


@dataclass(frozen=True)
class Check:
    """One sentence that must be true.

    Attributes:
        node: the host it is about.
        says: the sentence, without the host.
        wrong: asks the host; an empty text when the sentence holds, else one line that says what is the case.
    """

    node: str
    says: str
    wrong: Callable[[Target], str]

    def __str__(self) -> str:
        return f"{self.node}: {self.says}"
