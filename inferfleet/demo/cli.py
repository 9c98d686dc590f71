"""`inferfleet demo`: the command."""

import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from inferfleet.demo.stage import Stage
from inferfleet.demo.story import play
from inferfleet.errors import FleetError
from inferfleet.lab.paths import cache_dir

INTERRUPTED = 130  # as a shell says it of a program that ended by SIGINT


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab running and say how to reach it.")
def demo(keep: bool) -> None:
    """Two bare hosts on this machine become a fleet that serves a model."""
    console = Console(highlight=False)
    log = log_path()
    with log.open("a") as out:
        stage = Stage(console, out)
        try:
            play(stage, keep)
        except FleetError as error:
            stage.log(str(error))
            raise FleetError(f"{error}; the full log: {log}") from error
        except KeyboardInterrupt:
            kept = "the lab is kept" if keep else "nothing is left of it"
            click.echo(f"demo: interrupted in {stage.failed or 'no step'}; {kept}; the full log: {log}", err=True)
            sys.exit(INTERRUPTED)


def log_path() -> Path:
    """Where this run's log goes: where the caller says in INFERFLEET_LOG, else in the cache."""
    if given := os.environ.get("INFERFLEET_LOG"):
        return Path(given)
    directory = cache_dir() / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"demo-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
