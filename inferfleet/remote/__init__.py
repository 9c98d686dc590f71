"""Scripts that run on the hosts: Python >= 3.8, standard library alone.

Each is sent as text and run as `python3 -c TEXT JSON`, so that a host needs no file of ours to be asked or changed.
What is asked comes as one JSON argument, what is wanted on stdin (`operations.live.told`); answers go out as JSON or as
lines for people. What two of them need is a part, `ollama_api`, whose text takes the place of the line that imports
from it.
"""

import json
import re
from importlib.resources import files
from typing import Any

_SCRIPTS = files(__name__)
_PART = re.compile(r"^from inferfleet\.remote\.(\w+) import (\([^)]*\)|.+)$", re.MULTILINE)
_FUTURE = "from __future__ import annotations\n"


def script(name: str) -> str:
    """The text of one script with its parts, such as `ollama_state`."""
    return _with_parts(name, set())


def _with_parts(name: str, there: set[str]) -> str:
    def part(found: re.Match[str]) -> str:
        if found[1] in there:
            return ""
        there.add(found[1])
        return _with_parts(found[1], there).replace(_FUTURE, "", 1)

    return _PART.sub(part, (_SCRIPTS / f"{name}.py").read_text(encoding="utf-8"))


def shell_script(name: str) -> str:
    """The text of one script for `sh`, which a host without python3 can run too."""
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


def compact(value: Any) -> str:
    """The value as JSON that is the same text for the same value, so that equal questions can share one answer."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
