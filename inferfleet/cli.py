"""The `inferfleet` command: init, plan, verify, lab, demo."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from inferfleet import __version__
from inferfleet import verify as verification
from inferfleet.demo.cli import demo
from inferfleet.errors import FleetError
from inferfleet.lab.cli import lab
from inferfleet.plan_cli import plan
from inferfleet.scaffold import copy_project


class Fleet(click.Group):
    """Ends in one clear line for everything the user can mend."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a FleetError becomes its lines on standard error and exit status 1."""
        try:
            return super().invoke(ctx)
        except FleetError as error:
            click.echo(str(error), err=True)
            sys.exit(1)


@click.group(cls=Fleet)
@click.version_option(__version__, prog_name="inferfleet")
def main() -> None:
    """Turn bare Linux GPU hosts into a self-hosted LLM inference fleet, and keep them so."""
    # Whoever reads the first lines only (`| head`) wants no more of it, and no traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Copy the starter project to DIRECTORY."""
    for path in copy_project(directory):
        click.echo(f"wrote {path}")
    click.echo(f"next: cd {directory}, edit inventory/prod.py, then pyinfra inventory/prod.py deploy.py --dry --diff")


main.add_command(plan)


@main.command()
@click.argument("inventory", type=click.Path())
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def verify(inventory: str, junit: Path | None, as_json: bool) -> None:
    """Prove that the hosts of INVENTORY are as declared, down to a token from every model."""
    gone = set()

    def say(sentence: str, reason: str) -> None:
        host = sentence.partition(":")[0]
        if reason.startswith(verification.UNREACHED):
            sentence, told = host, (host, reason) in gone
            gone.add((host, reason))
            if told:
                return
        mark = click.style("no ", fg="red") if reason else click.style("yes", fg="green")
        click.echo(f"{mark} {sentence}" + (f": {reason}" if reason else ""))

    found = verification.verify(inventory, (lambda *_: None) if as_json else say, junit)
    if as_json:
        click.echo(verification.as_json(found))
    elif not found.results:
        raise FleetError(f"{inventory}: nothing was checked: no instances are declared")
    wrong = sum(not result["holds"] for result in found.results)
    if not as_json:
        click.echo(f"{len(found.results)} checks, {wrong} do not hold")
    sys.exit(1 if wrong or not found.results else 0)


main.add_command(lab)
main.add_command(demo)
