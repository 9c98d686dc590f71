"""HAProxy's answer on its stats socket: what is read from it, and what is no answer."""

import asyncio
import random
from pathlib import Path

import pytest

from inferfleet.prober.counters import Row, Socket, read

ANSWER = """\
Name: HAProxy
Version: 3.0.11-1+deb13u4
Pid: 16506

# pxname,svname,qcur,scur,bout,hrsp_2xx,hrsp_4xx,hrsp_5xx,last_agt,
m,gpu1/ollama-gpu0,0,3,4577,12,1,2,"via agent : down (a, b)",
m,new,0,0,,,,,,

"""


def test_a_row_for_each_server() -> None:
    rows = {"m/gpu1/ollama-gpu0": Row(3, 4577, 12, 3), "m/new": Row(0, 0, 0, 0)}
    assert read(ANSWER) == ("16506", rows)


@pytest.mark.parametrize(
    ("row", "flows"),
    [
        (Row(1, 1000, 5, 5), False),
        (Row(1, 1001, 5, 5), True),
        (Row(1, 1300, 5, 6), False),
        (Row(1, 1300, 6, 6), True),
        (Row(1, 9000, 5, 6), True),
        (Row(1, 0, 0, 0), False),
    ],
    ids=["nothing", "a stream", "an error", "an answer and an error", "a stream and an error", "cleared"],
)
def test_what_is_a_sign_of_life(row: Row, flows: bool) -> None:
    assert row.flows_since(Row(1, 1000, 5, 5)) is flows


def test_anything_else_is_one_error() -> None:
    """Cut anywhere, or with bytes that do not belong there: rows, or a ValueError."""
    random.seed(3)
    for n in range(2000):
        text = list(ANSWER[: random.randint(0, len(ANSWER))])
        for _ in range(n % 5):
            text.insert(random.randint(0, len(text)), random.choice(['"', ",", "\n", "\0", "\r", "x", "é"]))
        try:
            read("".join(text))
        except ValueError as error:
            assert str(error)


def test_a_socket_that_is_away_says_why(tmp_path: Path) -> None:
    socket = Socket(str(tmp_path / "none.sock"))
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(socket.ask(0.0))
    assert socket.error == "No such file or directory"
