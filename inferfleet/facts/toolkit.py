"""One question to a host about its NVIDIA Container Toolkit."""

import json
from collections.abc import Iterable
from typing import Any

from pyinfra.api import FactBase, QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError

from inferfleet.remote import script


class ToolkitState(FactBase[dict[str, Any]]):
    """Packages, units, CDI specifications and Docker's view of them, as `remote/toolkit_state.py` says them.

    An empty dict where the host has no python3 yet.
    """

    default = dict

    def command(self, question: str) -> StringCommand:
        """One command; `question` is `ToolkitHost.question` as compact JSON."""
        return StringCommand(
            "if command -v python3 >/dev/null; then python3 -c",
            QuoteString(script("toolkit_state")),
            QuoteString(question),
            "; else echo '{}'; fi",
        )

    def process(self, output: Iterable[str]) -> dict[str, Any]:
        """The last line's JSON; a FactProcessError, which fails this host alone, where there is none."""
        lines = list(output)
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except (ValueError, IndexError) as error:
            raise FactProcessError(f"the host's answer about its toolkit is not JSON: {lines[-1:]}") from error
        return answer
