"""How often each host was asked something and answered: the budget of a run, counted."""

import atexit
import json
import os
from collections import Counter
from pathlib import Path

VARIABLE = "INFERFLEET_ROUND_TRIPS"
"""Environment variable that names the JSON file written when the process ends."""

KINDS = ("facts", "commands", "uploads", "downloads")

_trips: dict[str, Counter[str]] = {}


def count(host: str, kind: str) -> None:
    """One more exchange with `host`; `kind` is one of `KINDS`, or `cached` for a fact that needed none."""
    _trips.setdefault(host, Counter())[kind] += 1


def round_trips() -> dict[str, dict[str, int]]:
    """Exchanges of this process by host name and kind, with their `total`; `cached` is not part of it.

    A transfer over SFTP counts as one, though the protocol needs more.
    """
    return {
        host: {kind: counted[kind] for kind in KINDS}
        | {"total": sum(counted[kind] for kind in KINDS), "cached": counted["cached"]}
        for host, counted in sorted(_trips.items())
    }


def _write() -> None:
    if path := os.environ.get(VARIABLE):
        Path(path).write_text(json.dumps(round_trips(), indent=1) + "\n")


atexit.register(_write)
