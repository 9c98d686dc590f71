"""What the demo shows: steps with their seconds, the output of programs below them, and all of it in a log."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

HEARTBEAT_S = 20.0

# What pyinfra (3.10) says of itself at every run; it goes to the log alone.
_NOISE = re.compile(
    r"--> (Loading|Connecting|Preparing|Skipping|Beginning|Disconnecting|Detected|Results:$)|Loading: |"
    r"\[.*\] (Ready: |Connected$)|Detected changes may not|Hidden side effects|this will be shown in|"
    r"to reflect the state"
)

_DETAIL = re.compile(r"\] will |\] (Success|No changes)$")

# What a line of output looks like -> its colour; the first that fits.
_COLOURS = (
    (re.compile(r"\] Error|[Ee]rror:|^ *no  "), "red"),
    (re.compile(r"\] No changes"), "cyan"),
    (re.compile(r"\] Success|^ *yes "), "green"),
    (re.compile(r"-->"), "bold"),
)


class Stage:
    """Shows steps one after the other.

    Args:
        console: a terminal gets colours and running seconds, all else gets plain lines.
        log: takes everything, without colours.
        live: show running seconds.
        brief: leave the details of each host to the log.

    Attributes:
        failed: the step that failed first, empty while all is well.
    """

    def __init__(self, console: Console, log: TextIO, live: bool = True, brief: bool = False) -> None:
        self.console = console
        self.failed = ""
        self._log = log
        self._live = live
        self._brief = brief

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step with this name runs; its seconds are shown when it has ended well."""
        begun, short = time.monotonic(), name.partition(":")[0]
        self.print(Text.assemble(("▸ ", "bold cyan"), (name, "bold")))
        try:
            with self._running(short, begun):
                yield
        except BaseException:
            self.failed = self.failed or short
            self.print(Text(f"  ✗ {time.monotonic() - begun:.1f} s", style="red"))
            raise
        self.print(Text(f"  ✓ {time.monotonic() - begun:.1f} s", style="green"))

    def command(self, line: str) -> None:
        """This is what a user would type for what follows."""
        self.print(Text.assemble(("  $ ", "dim"), (line, "bold")))

    def output(self, line: str) -> None:
        """A line of a program's output."""
        text = line.rstrip()
        if _NOISE.search(text) or (self._brief and _DETAIL.search(text)):
            self.log(text)
        elif text:
            self.print(
                Text(f"    {text}", style=next((colour for sign, colour in _COLOURS if sign.search(text)), "dim"))
            )

    def piece(self, text: str) -> None:
        """A piece of a line, shown at once."""
        self.console.print(Text(text, style="bold green"), end="", soft_wrap=True)
        self._write(text)

    def print(self, text: Text) -> None:
        """A whole line."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)
        self._write(f"{text.plain}\n")

    def log(self, line: str) -> None:
        """A line for the log alone."""
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        self._log.write(text)
        self._log.flush()

    @contextmanager
    def _running(self, name: str, begun: float) -> Iterator[None]:
        """Somebody who looks sees that it runs, and for how long."""
        over = threading.Event()
        show = self._spin if self.console.is_terminal else self._beat
        watch = threading.Thread(target=show, args=(name, begun, over), daemon=True)
        if self._live:
            watch.start()
        try:
            yield
        finally:
            over.set()
            if self._live:
                watch.join()

    def _spin(self, name: str, begun: float, over: threading.Event) -> None:
        with Status("", console=self.console) as status:
            while not over.wait(0.1):
                status.update(Text(f"{name}  {time.monotonic() - begun:.0f} s", style="dim"))

    def _beat(self, name: str, begun: float, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT_S):
            line = Text(f"  … {name}: {time.monotonic() - begun:.0f} s so far", style="dim")
            self.console.print(line, soft_wrap=True)
