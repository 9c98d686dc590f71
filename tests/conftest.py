"""What holds for every test."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def broken_pipes_stay_errors() -> Iterator[None]:
    """The command ends quietly on a broken pipe, as commands do; called in here it must not end all other tests."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)
