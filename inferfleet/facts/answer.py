"""What facts share that a script on the host answers: one command, one line of JSON."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from pyinfra.api import FactBase, QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError

from inferfleet.remote import script


class Answer(FactBase[dict[str, Any]]):
    """The answer of one script of `inferfleet.remote`; an empty dict where the host has no python3 yet.

    Attributes:
        asks: name of the script.
        about: what it tells of, for errors.
    """

    asks: ClassVar[str]
    about: ClassVar[str]
    abstract = True
    default = dict

    def command(self, question: str) -> StringCommand:
        """One command; `question` is compact JSON, so that the same question has the same text."""
        ask = ("python3 -c", QuoteString(script(self.asks)), QuoteString(question))
        return StringCommand("if command -v python3 >/dev/null; then", *ask, "; else echo '{}'; fi")

    def process(self, output: Iterable[str]) -> dict[str, Any]:
        """The last line's JSON; a FactProcessError, which fails this host alone, where there is none."""
        lines = list(output)
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except (ValueError, IndexError) as error:
            raise FactProcessError(f"the host's answer about {self.about} is not JSON: {lines[-1:]}") from error
        return answer
