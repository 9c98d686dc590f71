"""One question to a host about its NVIDIA cards and their driver."""

import json
from collections.abc import Iterable
from typing import Any

from pyinfra.api import FactBase, QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError

from inferfleet import probe
from inferfleet.remote import script


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


class NvidiaSource(FactBase[dict[str, Any]]):
    """What a host has of the apt source of its driver, as `remote/nvidia_source.py` says it.

    An empty dict where the host has no python3 yet.
    """

    default = dict

    def command(self, source: str) -> StringCommand:
        """One command; `source` is what `changes.source_of` gives, as compact JSON."""
        ask = ("python3 -c", QuoteString(script("nvidia_source")), QuoteString(source))
        return StringCommand("if command -v python3 >/dev/null; then", *ask, "; else echo '{}'; fi")

    def process(self, output: Iterable[str]) -> dict[str, Any]:
        """The last line's JSON; a FactProcessError, which fails this host alone, where there is none."""
        lines = list(output)
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except (ValueError, IndexError) as error:
            raise FactProcessError(f"the host's answer about its driver's source is not JSON: {lines[-1:]}") from error
        return answer
