"""What is killed while it makes something leaves nothing half done."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from inferfleet.lab.mirror.store import fresh_part, locked, make_once, put_in_place, replace_file

FORK = multiprocessing.get_context("fork")


def die_half_way(part: Path) -> None:
    (part / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def slow(part: Path) -> None:
    with (part.parent / "calls").open("a") as calls:
        calls.write("x")
    time.sleep(0.3)
    (part / "whole").touch()


def whole(part: Path) -> None:
    (part / "whole").touch()


def test_killed_maker_leaves_no_target_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "thing"
    maker = FORK.Process(target=make_once, args=(target, die_half_way))
    maker.start()
    maker.join(10)
    assert maker.exitcode == -signal.SIGKILL
    assert not target.exists()
    assert list(target.parent.glob(".thing.part-*"))
    assert make_once(target, whole) == target
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert [path.name for path in target.parent.iterdir() if path.is_dir()] == ["thing"]


def test_two_makers_make_once(tmp_path: Path) -> None:
    makers = [FORK.Process(target=make_once, args=(tmp_path / "thing", slow)) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(10)
    assert [maker.exitcode for maker in makers] == [0, 0]
    assert (tmp_path / "calls").read_text() == "x"


def test_a_maker_that_fails_leaves_no_target(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        make_once(tmp_path / "thing", fail)
    assert not (tmp_path / "thing").exists()


def test_put_in_place_replaces(tmp_path: Path) -> None:
    target = make_once(tmp_path / "thing", whole)
    with locked(target):
        part = fresh_part(target)
        (part / "new").touch()
        put_in_place(part, target)
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["thing"]


def test_replace_file(tmp_path: Path) -> None:
    replace_file(tmp_path / "a" / "b", b"1")
    replace_file(tmp_path / "a" / "b", b"2")
    assert (tmp_path / "a" / "b").read_bytes() == b"2"
    assert len(list((tmp_path / "a").iterdir())) == 1
