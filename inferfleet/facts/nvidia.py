"""The NVIDIA cards of a host, in one question."""

from collections.abc import Iterable
from typing import TypedDict

from pyinfra.api import FactBase
from pyinfra.api.exceptions import FactProcessError

_FIELDS = ("index", "uuid", "name", "driver_version", "memory.total")

_HANGS_S = 60  # a driver that lost a card can hang its callers; eight cards without persistence take 20 s


class NvidiaCard(TypedDict):
    """One card as the driver shows it; `memory_mib` is what it says it has in all, None where it shares the host's."""

    index: int
    uuid: str
    name: str
    driver: str
    memory_mib: int | None


class NvidiaCards(FactBase[list[NvidiaCard] | None]):
    """Every card that the driver shows; None where there is no `nvidia-smi`, or it finds no driver.

    Only fields that every driver since 450 knows are asked for: one that it does not know fails the whole query.
    """

    def command(self) -> str:
        """One query; without a driver it says nothing."""
        query = f"--query-gpu={','.join(_FIELDS)} --format=csv,noheader,nounits"
        return f"command -v nvidia-smi >/dev/null && timeout -k 5 {_HANGS_S} nvidia-smi {query} 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> list[NvidiaCard] | None:
        """The rows as cards; a FactProcessError, which fails this host alone, where one cannot be read."""
        rows = [[cell.strip() for cell in line.split(",")] for line in output if line.strip()]
        try:
            return [_card(*row) for row in rows] or None
        except (TypeError, ValueError) as error:
            raise FactProcessError(f"nvidia-smi says what cannot be read: {rows}") from error


def _card(index: str, uuid: str, name: str, driver: str, memory: str) -> NvidiaCard:
    # A GB10 or a Jetson has no memory of its own: `[N/A]` or `[Not Supported]`.
    own = None if memory.startswith("[N") else int(memory)
    return {"index": int(index), "uuid": uuid, "name": name, "driver": driver, "memory_mib": own}
