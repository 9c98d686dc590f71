"""Programs of this machine, run without a terminal; what fails becomes one line."""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from inferfleet.errors import LabError

# A login without the sbin directories (su, cron, some CI) would miss ip and debootstrap.
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def environment(**more: str) -> dict[str, str]:
    """The environment for programs of this machine: English messages, sbin in PATH."""
    return {**os.environ, "PATH": PATH, "LC_ALL": "C", **more}


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it wrote.

    Raises:
        LabError: it is missing, or `check` is set and it failed; the message ends with its last line.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, env=env or environment())
    except FileNotFoundError as error:
        raise LabError(f"{words[0]}: no such program") from error
    if check and done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        raise LabError(f"{' '.join(words[:6])}: exit status {done.returncode}: {lines[-1]}")
    return done


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tail(path: Path, lines: int = 3) -> str:
    """The last lines of a log, joined for a one-line message."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return "no log"
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:]) or "empty log"
