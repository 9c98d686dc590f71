"""How long work reports what it is doing: a function that takes one line of text."""

from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]


def quiet(line: str) -> None:
    """Report nothing."""
