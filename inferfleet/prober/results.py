"""What a probe can find out, and in which words."""

from __future__ import annotations

from dataclasses import dataclass

# Each with what it means; metrics and status use these words.
WORDS = {
    "ok": "gave a token in time",
    "busy": "no answer yet, but bytes flow or all slots are taken",
    "asleep": "answers; its model is not in memory, and need not be",
    "loading": "answers; its model is on its way into memory",
    "hang": "took the connection and gave no token",
    "slow": "gave its token too late",
    "refused": "no connection",
    "http": "answered with an error of its own, 5xx or 429",
    "empty": "answered 200 without a token",
    "cpu": "computes on the CPU what belongs on a card",
    "other": "anything else: the model is missing (404), not HTTP, broken off",
}
WELL = ("ok", "asleep")


@dataclass(frozen=True)
class Result:
    """One finding. `soft`: an engine that is merely busy may look so."""

    word: str
    text: str = ""
    soft: bool = False
    first_token_s: float | None = None
    tokens_per_s: float | None = None


class Progress:
    """How far a probe has come; whoever waits for it looks here."""

    def __init__(self) -> None:
        self.answered = False  # a byte of HTTP, to the question that is now open
        self.awake = False  # the engine answered a question that needs no model
        self.absent = False  # it said that the model is not in memory
        self.tokens: list[float] = []  # when each came


class Unwell(Exception):
    """A finding that ends a probe."""

    def __init__(self, word: str, text: str, soft: bool = False) -> None:
        super().__init__(word, text)
        self.result = Result(word, text, soft)
