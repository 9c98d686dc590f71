"""The part that asks NVML on the host: what it does when the driver holds it, or brings it down.

Its questions are put to the real library's double in tests/lab/test_gpus.py.
"""

import json
import os
from typing import Any

import pytest

from inferfleet.probe import nvml

DRIVER = {"driver": "580.95.05", "cuda": "13.0"}
CARD = {"index": 0, "uuid": "GPU-x"}
WHOLE = [DRIVER, {"asking": 0}, {"card": CARD}, {"end": True}]


def put_together(*pieces: dict[str, Any]) -> dict[str, Any]:
    return nvml.put_together(iter([dict(piece) for piece in pieces]))


def test_all_pieces_are_one_answer() -> None:
    assert put_together(*WHOLE) == {**DRIVER, "cards": [CARD], "error": None}


def test_a_driver_that_answers_no_longer() -> None:
    late = {"code": 10, "text": "does not answer within 60 s"}
    assert put_together({"late": True}) == {"driver": None, "cuda": None, "cards": [], "error": late}


def test_the_card_at_which_it_stays_silent_is_named() -> None:
    found = put_together(*WHOLE[:3], {"asking": 1}, {"late": True})
    assert found["error"] is None
    assert found["cards"] == [CARD, {"index": 1, "error": {"code": 10, "text": "does not answer within 60 s"}}]


def test_a_library_that_brings_the_child_down() -> None:
    found = put_together(DRIVER, {"asking": 0})
    assert found["cards"] == [{"index": 0, "error": {"code": 999, "text": "broke off while it was asked"}}]


def test_a_driver_that_does_not_start() -> None:
    error = {"code": 18, "text": "Driver/library version mismatch"}
    assert put_together({"error": error, "end": True})["error"] == error


def test_lines_are_heard_as_they_come() -> None:
    reader, writer = os.pipe()
    for piece in WHOLE:
        text = json.dumps(piece).encode() + b"\n"
        os.write(writer, text[:5])
        os.write(writer, text[5:])
    os.close(writer)
    assert list(nvml.heard(reader, 5)) == WHOLE


def test_silence_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"asking": 0}\n')
    assert list(nvml.heard(reader, 0.05)) == [{"asking": 0}, {"late": True}]
    os.close(writer)


def test_a_child_that_hangs_holds_nobody(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A real child that writes one line and then sleeps."""

    def child(pipe: int) -> None:
        os.write(pipe, b'{"driver": "580"}\n{"asking": 2}\n')
        os.read(os.pipe()[0], 1)

    ended: list[int] = []
    monkeypatch.setattr(nvml, "child", child)
    monkeypatch.setattr(nvml.os, "_exit", ended.append)
    nvml.main(limit_s=0.1)
    answer = json.loads(capfd.readouterr().out)
    assert (answer["driver"], answer["cards"][0]["index"], answer["cards"][0]["error"]["code"]) == ("580", 2, 10)
    assert ended == [0]
