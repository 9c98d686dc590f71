"""A dry run of a host that is refused promises nothing more of it, and says so in its exit status."""

from typing import Any

import pytest
from pyinfra.api import StringCommand

from inferfleet.changes import Changes, Effect
from inferfleet.operations import effects

REFUSED, WORK = Changes((Effect("refuse", "this host", "no card"),)), Changes((Effect("start", "a", "is inactive"),))


class Double:
    """What `converging` needs of pyinfra's state and of a host."""

    def __init__(self) -> None:
        self.name, self.current_op_hash, self.is_executing = "gpu1", "first", False
        self.failed_hosts: set[Any] = set()
        self.config = self
        self.DIFF = False
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)

    def noop(self, text: str) -> None:
        self.said.append(f"({text})")


class Context:
    def __init__(self, value: Double) -> None:
        self.value = value

    def get(self) -> Double:
        return self.value


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    double = Double()
    for name in ("ctx_host", "ctx_state"):
        monkeypatch.setattr(effects, name, Context(double))
    return double


def _operate(double: Double, name: str, changes: Changes) -> list[StringCommand]:
    """The commands of an operation that decides so."""
    double.current_op_hash = name
    made: Any = effects.converging(lambda: (changes, [StringCommand("true")]))
    return list(made._inner())


def test_nothing_is_announced_after_a_refusal(double: Double) -> None:
    assert _operate(double, "first", REFUSED)
    assert not _operate(double, "second", WORK)
    assert double.said == ["will refuse this host: no card", "(the host is refused)"]
    assert double.failed_hosts == {double}


def test_the_run_itself_judges_anew(double: Double) -> None:
    """Somebody may have put the card back while the user looked at the plan."""
    _operate(double, "first", REFUSED)
    double.is_executing = True
    assert _operate(double, "first", WORK) and _operate(double, "second", WORK)
    assert double.failed_hosts == set()


def test_a_run_that_refuses_fails_by_its_command(double: Double) -> None:
    double.is_executing = True
    assert _operate(double, "first", REFUSED)
    assert double.failed_hosts == set()
