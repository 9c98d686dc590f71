"""One question to a host about its NVIDIA cards and their driver."""

from collections.abc import Iterable
from typing import Any

from pyinfra.api import FactBase
from pyinfra.api.exceptions import FactProcessError

from inferfleet import probe
from inferfleet.facts.answer import Answer


class GpuState(FactBase[dict[str, Any]]):
    """Cards, driver, kernel module, daemons, kernel log and upkeep, as `inferfleet.probe.answer` gives them.

    Nothing is kept: a driver that was installed since the last run is seen by the next.
    """

    def command(self) -> str:
        """One round trip; the host keeps nothing of it."""
        return probe.command()

    def process(self, output: Iterable[str]) -> dict[str, Any]:
        """The answer; a FactProcessError, which fails this host alone, where it cannot be read."""
        lines = list(output)
        try:
            return probe.answer(lines)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            said = next((line for line in reversed(lines) if line.strip()), "nothing")[:120]
            raise FactProcessError(f"the host's answer about its cards cannot be read: {said} ({error})") from error


class NvidiaSource(Answer):
    """What a host has of the apt source of its driver, as `remote/nvidia_source.py` says it.

    Asked with what `changes.source_of` gives.
    """

    asks = "nvidia_source"
    about = "its driver's source"
