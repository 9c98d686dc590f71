"""Scripts that run on the hosts: Python >= 3.8, standard library alone.

What a script imports from another module here is put into its text in place of the import.

Each is sent as text and run as `python3 -c TEXT JSON`, so that a host needs no file of ours to be asked or changed.
What is asked or wanted comes as one JSON argument, answers go out as JSON or as lines for people.
"""

import json
import re
from importlib.resources import files
from typing import Any

_SCRIPTS = files(__name__)
_SHARED = re.compile(rf"^from {re.escape(__name__)}\.(\w+) import .*\n", re.MULTILINE)


def script(name: str) -> str:
    """The text of one script, such as `ollama_state`, complete in itself."""
    return _SHARED.sub(lambda found: _text(found[1]).partition("from __future__ import annotations\n")[2], _text(name))


def _text(name: str) -> str:
    return (_SCRIPTS / f"{name}.py").read_text(encoding="utf-8")


def compact(value: Any) -> str:
    """The value as JSON that is the same text for the same value, so that equal questions can share one answer."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
