"""Programs that build, at low priority; what fails becomes one line that says what was being made."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab import system


def build_run(
    where: str,
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    hint: str = "",
    cwd: Path | None = None,
) -> str:
    """The program has ended well; gives what it wrote to its standard output.

    Args:
        where: what is being made, for the error.
        argv: program and arguments, no shell.
        env: variables to set beside this process's own.
        hint: what to do should it fail.
        cwd: directory to run it in; else this process's own.

    Raises:
        LabError: it is not installed, or ended with another code than 0.
    """
    # pdeathsig: what builds ends with us, even if we are killed.
    place = ["env", f"--chdir={cwd}"] if cwd else []
    words = ["nice", "-n", "10", "setpriv", "--pdeathsig", "KILL", *place, *argv]
    done = system.run(words, check=False, env=system.environment(**(env or {})))
    if done.returncode != 0:
        raise LabError(f"{where}: {Path(argv[0]).name} failed (got exit {done.returncode}: {_message(done)})", hint)
    return done.stdout


def _message(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why: apt's first error, anything else's last line."""
    lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
    return next((line for line in lines if line.startswith("E: ")), lines[-1]).strip()
