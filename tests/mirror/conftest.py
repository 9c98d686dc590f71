"""What tests of the mirror share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name leaves room: an agent's socket may have 108 bytes, and pytest's names are long."""
    with tempfile.TemporaryDirectory(prefix="k-") as path:
        yield Path(path)
