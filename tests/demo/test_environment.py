"""The Python environment: made once, whole or not at all, also by two clones at a time."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.demo.machine import CLONE, Machine

MAKE = 'bootstrap tiny; echo "VENV $VENV"'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


def made(done: "subprocess.CompletedProcess[str]") -> Path:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.rsplit("VENV ", 1)[1].strip())


@pytest.mark.slow
def test_second_time_is_quick_and_killed_builds_begin_again(machine: Machine) -> None:
    first = machine.run("-c", MAKE)
    place = made(first)
    assert "✓ Python environment (tiny)" in first.stdout
    assert (place / "complete").exists()
    assert (place / "bin" / "inferfleet").read_text().startswith(f"#!{place}/bin/python\n")

    begun = time.monotonic()
    again = machine.run("-c", MAKE)
    assert made(again) == place
    assert "Python environment" not in again.stdout
    assert time.monotonic() - begun < 5

    (place / "complete").unlink()
    (place / "bin" / "python").unlink()
    assert made(machine.run("-c", MAKE)) == place
    assert (place / "bin" / "python").exists()


@pytest.mark.slow
def test_two_at_once_share_one(machine: Machine) -> None:
    children = [machine.start("-c", MAKE) for _ in range(2)]
    outs = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    places = {out.rsplit("VENV ", 1)[1] for out in outs}
    assert len(places) == 1
    assert len(list((machine.home / ".cache/inferfleet/logs").glob("try-*.log"))) == 2


def test_changed_lock_is_another_environment(machine: Machine) -> None:
    key = 'INTERPRETER=$(find_python); step() { :; }; environment_for tiny; echo "VENV $VENV"'
    first = made(machine.run("-c", key))
    (machine.clone / "requirements" / "tiny.lock").write_text("# something\n")
    assert made(machine.run("-c", key)) != first


@pytest.mark.slow
def test_what_pip_refuses_is_one_line_with_the_log(machine: Machine) -> None:
    lock = machine.clone / "requirements" / "tiny.lock"
    lock.write_text("inferfleet @ file:///nowhere/at-all.whl --hash=sha256:" + "0" * 64 + "\n")
    done = machine.run("-c", MAKE)
    assert done.returncode == 1
    assert "try: pip could not install requirements/tiny.lock: " in done.stderr
    assert done.stderr.count("\n") == 1
    log = Path(done.stderr.rsplit("read ", 1)[1].strip())
    assert "at-all.whl" in log.read_text()


@pytest.mark.parametrize("name", ["product", "test"])
def test_locks_hold_hashes_and_no_address(name: str) -> None:
    text = (CLONE / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for block in text.split("\n    # via")[0:-1]:
        assert "--hash=sha256:" in block
