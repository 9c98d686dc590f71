"""`inferfleet plan`: what an inventory places where, and what that takes, in the form that is asked for."""

import io
import json
import sys
from pathlib import Path

import click
from rich.console import Console

from inferfleet.errors import FleetError
from inferfleet.inventory import plan_from
from inferfleet.plan import FleetPlan, show
from inferfleet.plan.views.markdown import markdown
from inferfleet.plan.views.page import page
from inferfleet.plan_cli.terminal import Terminal

_PIPE = 1000  # columns; a pipe has none to keep to


@click.command()
@click.argument("inventory", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the plan as Markdown, for a pull request.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan to this file as a page.")
@click.option("--offline", is_flag=True, help="Contact no host. It is so anyway; to say it in scripts.")
def plan(inventory: str, as_json: bool, as_markdown: bool, html: Path | None, offline: bool) -> None:
    """Show what INVENTORY places where, and what is left of the cards' memory; no host is contacted.

    Exit status is 1 where a model is refused.
    """
    if as_json + as_markdown + (html is not None) > 1:
        raise click.UsageError("of --json, --markdown and --html give one")
    placed = plan_from(inventory)
    if html is not None:
        _write(html, placed)
    elif as_json:
        click.echo(json.dumps(show.as_data(placed), indent=1))
    elif as_markdown:
        click.echo(markdown(placed), nl=False)
    else:
        _print(placed)
    sys.exit(1 if placed.capacity.refusals else 0)


def _print(placed: FleetPlan) -> None:
    """The plan is on standard output, a name that cannot be written there with `?` for what cannot."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    Terminal(Console(width=None if sys.stdout.isatty() else _PIPE)).plan(placed)


def _write(path: Path, placed: FleetPlan) -> None:
    try:
        path.write_text(page(placed), encoding="utf-8")
    except OSError as error:
        raise FleetError(
            f"{path}: cannot be written ({error.strerror})", "name a file in a directory of yours"
        ) from error
    click.echo(f"wrote {path}")
    for refusal in placed.capacity.refusals:
        click.echo(refusal.line, err=True)
