"""Run the programs that a user would run, their output shown as it comes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferfleet.demo.stage import Stage
from inferfleet.errors import FleetError

END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """What one run of pyinfra did, counted over operations and hosts."""

    operations: int
    changed: tuple[str, ...]
    failed: tuple[str, ...]


def shown(stage: Stage, argv: Sequence[str]) -> None:
    """The program has ended well; all that it wrote was shown.

    Args:
        stage: where it is shown.
        argv: `inferfleet` or `pyinfra`, as installed beside this Python, and arguments.

    Raises:
        FleetError: it ended with another status than 0.
    """
    _run(stage, argv, None, stage.output)


def data(stage: Stage, argv: Sequence[str]) -> Any:
    """The JSON that the program wrote to its standard output; what it wrote beside it is in the log.

    Raises:
        FleetError: it ended with another status than 0, or wrote no JSON.
    """
    with tempfile.TemporaryFile("w+") as out:
        _run(stage, argv, out.fileno(), stage.log)
        out.seek(0)
        text = out.read()
    stage.log(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise FleetError(f"{argv[0]}: wrote no JSON (got {text[:60]!r})") from error


def outcome(result: dict[str, Any]) -> Outcome:
    """Read what `pyinfra --json -y` (3.10, `pyinfra_cli/prints.py`) says of a run."""
    operations = result["results"]["operations"]
    changed = [f"{each['name']} on {host}" for each in operations for host in each["success"]]
    failed = [f"{each['name']} on {host}" for each in operations for host in each["error"]]
    total = sum(each["hosts"] for each in operations)
    return Outcome(total, tuple(changed), (*failed, *result["results"]["failed_hosts"]))


def _run(stage: Stage, argv: Sequence[str], stdout: int | None, show: Callable[[str], None]) -> None:
    stage.command(" ".join(argv))
    last = ""
    with _child(argv, stdout) as child:
        for line in (child.stderr if stdout is not None else child.stdout) or ():
            last = line.strip() or last
            show(line.rstrip())
    if child.returncode:
        raise FleetError(f"{argv[0]} failed (got exit status {child.returncode}): {last}")


@contextmanager
def _child(argv: Sequence[str], stdout: int | None) -> Iterator["subprocess.Popen[str]"]:
    """The program runs, and has ended afterwards, whatever happens here."""
    program = str(Path(sys.executable).with_name(argv[0]))
    child = subprocess.Popen(
        [program, *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "110"},
    )
    try:
        yield child
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
