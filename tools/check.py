"""`./test`: lint, types, spelling, fast tests, lab tests. Everything runs; then what failed is named.

Called by the script `test`, which has made the environment. As root on behalf of an ordinary user, only the
lab tests stay root; the rest runs as that user.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from inferfleet.demo.stage import Stage

BIN = Path(sys.executable).parent
NOTHING_COLLECTED = 5  # pytest's exit status
INTERRUPTED = 130
END_LIMIT_S = 30.0

STATIC = {
    "Lint": ["ruff", "check", "."],
    "Format": ["ruff", "format", "--check", "."],
    "Types": ["mypy", "-p", "inferfleet", "-p", "tools"],
    "Spelling": ["codespell"],
}


class PartFailed(Exception):
    """A part of the checks ended badly; the others run all the same."""


class Checks:
    """Runs the parts and keeps what came of them.

    Args:
        stage: where they are shown.
        as_user: words before a command that must not run as root.

    Attributes:
        failed: names of the parts that failed.
        closing: pytest's own last lines.
        selected: pytest found any test at all.
    """

    def __init__(self, stage: Stage, as_user: Sequence[str]) -> None:
        self.failed: list[str] = []
        self.closing: list[str] = []
        self.selected = False
        self._stage = stage
        self._as_user = as_user

    def static(self, name: str, words: Sequence[str]) -> None:
        """A linter is content; what it says is shown only where it is not."""
        lines: list[str] = []
        status = self._part(name, [*self._as_user, str(BIN / words[0]), *words[1:]], lines)
        for line in lines if status else ():
            self._stage.print(Text.from_ansi(f"    {line}"))

    def pytest(self, name: str, arguments: Sequence[str], root: bool = False) -> None:
        """The tests pass; what pytest says is shown as it comes."""
        colour = f"--color={'yes' if self._stage.console.is_terminal else 'no'}"
        words = [*(() if root else self._as_user), sys.executable, "-m", "pytest", colour, *arguments]
        lines: list[str] = []
        status = self._part(name, words, lines, loud=True)
        if status != NOTHING_COLLECTED:
            self.selected = True
            self.closing += [line for line in lines if line.strip()][-1:]

    def _part(self, name: str, words: Sequence[str], lines: list[str], loud: bool = False) -> int:
        """Run a program as a step; give its exit status."""
        status = 0
        try:
            with self._stage.step(name), _child(words) as child:
                for line in child.stdout or ():
                    lines.append(line.rstrip("\n"))
                    self._show(lines[-1], loud)
                status = child.wait()
                if status not in (0, NOTHING_COLLECTED if loud else 0):
                    raise PartFailed
        except PartFailed:
            self.failed.append(name)
        return status

    def _show(self, line: str, loud: bool) -> None:
        if loud:
            self._stage.print(Text.from_ansi(f"  {line}"))
        else:
            self._stage.log(line)


@contextmanager
def _child(words: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """The program runs, and has ended afterwards, whatever happens here."""
    env = {name: value for name, value in os.environ.items() if name != "INFERFLEET_LOG"}
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(checks: Checks, fast: bool, arguments: Sequence[str]) -> None:
    """Every part has run; with arguments for pytest, only the tests."""
    if not arguments:
        for name, words in STATIC.items():
            checks.static(name, words)
    checks.pytest("Fast tests", ["-q", "-m", "not lab", "-n", "auto", *arguments])
    if not fast:
        # Root leaves no cache in a clone that is not its own. Two labs at once: hosts wait more than they work.
        options = ["-v", "-p", "no:cacheprovider", *arguments]
        together = ["-m", "lab and not alone", "-n", "2", "--dist", "loadfile"]
        checks.pytest("Lab tests", [*together, *options], root=True)
        checks.pytest("Lab tests that want the machine alone", ["-m", "lab and alone", *options], root=True)


def main() -> int:
    """Run the checks and give the exit status."""
    parser = argparse.ArgumentParser(prog="./test", allow_abbrev=False, add_help=False)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--as-user", type=shlex.split, default=[])
    parser.add_argument("--log", type=Path, required=True)
    given, arguments = parser.parse_known_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with given.log.open("a") as log:
        checks = Checks(Stage(Console(highlight=False), log), given.as_user)
        try:
            run(checks, given.fast, arguments)
        except KeyboardInterrupt:
            sys.stderr.write(f"./test: interrupted; the log: {given.log}\n")
            return INTERRUPTED
    if not checks.selected:
        checks.failed.append("no test was selected")
    sys.stdout.write("".join(f"{line}\n" for line in checks.closing))
    sys.stdout.flush()
    if checks.failed:
        sys.stderr.write(f"./test: failed: {', '.join(checks.failed)}; the log: {given.log}\n")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
