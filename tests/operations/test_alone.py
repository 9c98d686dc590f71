"""One run at a time on a host, and a line for whoever waited in vain."""

import fcntl
import subprocess
from pathlib import Path

from pyinfra.api import QuoteString

from inferfleet.operations.live import alone


def _run(lock: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = (
        str(alone("python3 -c", QuoteString(script), QuoteString("{}")))
        .replace("/run/inferfleet.lock", str(lock))
        .replace("-w 900", "-w 0")
    )
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


def test_free(tmp_path: Path) -> None:
    done = _run(tmp_path / "lock", "import sys; print(sys.argv[1])")
    assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")


def test_a_failure_is_the_scripts_own(tmp_path: Path) -> None:
    done = _run(tmp_path / "lock", "raise SystemExit('no')")
    assert (done.returncode, done.stderr) == (1, "no\n")


def test_another_run_works(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run(tmp_path / "lock", "print(1)")
    assert done.returncode != 0 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("another run has been at work on this host for 15 minutes")
