"""Scripts that run on the hosts: Python >= 3.8, standard library alone, one file each, nothing imported from here.

Each is sent as text and run as `python3 -c TEXT JSON`, so that a host needs no file of ours to be asked or changed.
What is asked or wanted comes as one JSON argument, answers go out as JSON or as lines for people.
"""

import json
from importlib.resources import files
from typing import Any

_SCRIPTS = files(__name__)


def script(name: str) -> str:
    """The text of one script, such as `ollama_state`."""
    return (_SCRIPTS / f"{name}.py").read_text(encoding="utf-8")


def shell_script(name: str) -> str:
    """The text of one script for `sh`, which a host without python3 can run too."""
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


def compact(value: Any) -> str:
    """The value as JSON that is the same text for the same value, so that equal questions can share one answer."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
