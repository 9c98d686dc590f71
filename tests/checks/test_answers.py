"""Where a model answered from, read off what is in memory after it did."""

from typing import Any

import pytest

from inferfleet.checks.base import Peak
from inferfleet.checks.models import answers

WEIGHTS = {"tiny:latest": ["sha256:a"], "same:latest": ["sha256:a"], "other:latest": ["sha256:b"]}


class Host:
    """A host that answers what a test says; a stand-in for `checks.base.Target`."""

    def __init__(self, loaded: list[tuple[str, int, int]]) -> None:
        self.report: dict[str, Any] = {"models": {name: {"weights": w} for name, w in WEIGHTS.items()}}
        self.peaks: list[Peak] = []
        self.listening: list[tuple[str, int]] = []
        self._loaded = loaded

    def ask(self, address: str, model: str, prompts: list[str], tokens: int) -> dict[str, Any]:
        return {"answers": {prompt: {"text": "pong", "tokens": 1} for prompt in prompts}, "loaded": self._loaded}


def reason(loaded: list[tuple[str, int, int]], on_gpu: bool = True, **expect: str) -> str:
    return answers("127.0.0.1:11434", "tiny:latest", expect, on_gpu, Host(loaded))


@pytest.mark.parametrize(
    ("loaded", "on_gpu"),
    [
        ([("tiny:latest", 10, 10)], True),
        ([("tiny:latest", 10, 0)], False),
        ([("same:latest", 10, 10), ("other:latest", 10, 0)], True),
    ],
)
def test_holds(loaded: list[tuple[str, int, int]], on_gpu: bool) -> None:
    assert reason(loaded, on_gpu, ping="pong") == ""


@pytest.mark.parametrize(
    ("loaded", "on_gpu", "why"),
    [
        ([("tiny:latest", 10, 0)], True, "it runs on the CPU: none of it is in the card's memory"),
        ([("tiny:latest", 10, 5)], True, "it runs on the CPU: 50 % of it is in the card's memory"),
        ([("tiny:latest", 10, 10)], False, "it runs on a GPU"),
        ([("other:latest", 10, 10)], True, "it is not in memory after it answered"),
        ([], True, "it is not in memory after it answered"),
    ],
)
def test_does_not_hold(loaded: list[tuple[str, int, int]], on_gpu: bool, why: str) -> None:
    assert reason(loaded, on_gpu, ping="pong").startswith(why)


def test_another_answer() -> None:
    assert reason([("tiny:latest", 10, 10)], ping="ding") == "'ping' was answered 'pong', expected 'ding'"
