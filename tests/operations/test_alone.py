"""One run at a time on a host, and a line for whoever waited in vain."""

import fcntl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import QuoteString

from inferfleet.operations import live
from inferfleet.operations.live import alone


def _command(lock: Path, script: str) -> str:
    command = str(alone("python3 -c", QuoteString(script), QuoteString("{}")))
    return command.replace("/run/inferfleet.lock", str(lock))


def _start(lock: Path, script: str) -> Any:
    return subprocess.Popen(["/bin/sh", "-c", _command(lock, script)], stdout=subprocess.PIPE, text=True)


def _run(lock: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = _command(lock, script).replace("-w 900", "-w 0")
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


def test_free(tmp_path: Path) -> None:
    done = _run(tmp_path / "lock", "import sys; print(sys.argv[1])")
    assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")


def test_no_other_user_can_take_the_lock(tmp_path: Path) -> None:
    """flock(2) asks for no more than an open file, and who may read it can open it."""
    assert _run(tmp_path / "lock", "print(1)").stdout == "1\n"
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_failure_is_the_scripts_own(tmp_path: Path) -> None:
    done = _run(tmp_path / "lock", "raise SystemExit('no')")
    assert (done.returncode, done.stderr) == (1, "no\n")


def test_another_run_works(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run(tmp_path / "lock", "print(1)")
    assert (done.returncode, done.stdout) == (75, "waiting for another run on this host\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("another run has been at work on this host for 15 minutes")


def test_waits_for_another_run(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = _start(tmp_path / "lock", "print('done')")
        assert waiting.stdout.readline() == "waiting for another run on this host\n"
    assert waiting.communicate(timeout=10)[0].splitlines() == ["the other run has ended", "going on", "done"]


def test_who_went_away_while_waiting_changes_nothing(tmp_path: Path) -> None:
    """Ctrl-C here ends the connection; what waited there must not begin when its turn comes."""
    mark = tmp_path / "mark"
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = _start(tmp_path / "lock", f"open({str(mark)!r}, 'w')")
        waiting.stdout.readline()
        waiting.stdout.close()
    assert waiting.wait(10) != 0
    assert not mark.exists()


def test_the_work_of_a_script_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the host may read those, and pyinfra shows them with `-vv`."""
    shows = (
        "import json, sys; print(json.loads(sys.argv[1])); print(open('/proc/self/cmdline').read().count('can' 'ary'))"
    )
    monkeypatch.setattr(live, "script", lambda _: shows)
    command = live.told("any", {"secret": "canary"})
    text = str(command).replace("/run/inferfleet.lock", str(tmp_path / "lock"))
    assert "canary" not in text
    work = str(command.connector_arguments["_stdin"])
    done = subprocess.run(["/bin/sh", "-c", text], input=work, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'secret': 'canary'}\n0\n", "")
