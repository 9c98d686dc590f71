"""Run an outside program at low priority; its failure becomes one line."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferfleet.errors import LabError

Arguments = Sequence[str | Path]


def run(where: str, argv: Arguments, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """The program has ended well; gives what it wrote to its standard output.

    Args:
        where: what is being made, for the error.
        argv: program and arguments, no shell.
        env: the whole environment; this process's own when left out.
        cwd: working directory.

    Raises:
        LabError: it is not installed, or ended with another code than 0.
    """
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    command = [*nice, *map(str, argv)]
    if shutil.which(str(argv[0])) is None:
        raise LabError(f"{where}: a program is missing (got no {argv[0]})", "install it")
    done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{where}: {Path(argv[0]).name} failed (got exit {done.returncode}: {_last_line(done)})")
    return done.stdout


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
    return lines[-1].strip()
