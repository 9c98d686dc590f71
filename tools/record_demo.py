"""Run the demo for real and keep what it showed as a picture: `tools/run python -m tools.record_demo docs/demo.svg`."""

import re
import sys
from pathlib import Path

from rich.console import Console

from inferfleet.demo.cli import log_path
from inferfleet.demo.stage import Stage
from inferfleet.demo.story import play

WIDTH = 104
# The fonts that rich (15) would have every reader's browser fetch from somewhere, and its comment.
FOREIGN = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


def main(target: Path) -> None:
    """The picture is at `target`; a demo that fails leaves no picture."""
    console = Console(record=True, width=WIDTH, highlight=False, force_terminal=True, color_system="truecolor")
    with log_path().open("a") as log:
        stage = Stage(console, log, live=False, brief=True)
        stage.command("./demo")
        play(stage)
    target.write_text(FOREIGN.sub("", console.export_svg(title="inferfleet")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
