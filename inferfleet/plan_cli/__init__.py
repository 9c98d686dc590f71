"""`inferfleet plan`: what an inventory places where, and what that takes, in the form that is asked for."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from inferfleet.errors import FleetError
from inferfleet.inventory import read_inventory
from inferfleet.plan import FleetPlan, plan_or_refuse, show, whatif
from inferfleet.plan.views.markdown import markdown
from inferfleet.plan.views.page import page
from inferfleet.plan_cli.terminal import Terminal
from inferfleet.spec import parse_fleet

_PIPE = 1000  # columns; a pipe has none to keep to


@click.command()
@click.argument("inventory", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the plan as Markdown, for a pull request.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan to this file as a page.")
@click.option("--offline", is_flag=True, help="Contact no host. It is so anyway; to say it in scripts.")
@click.option("--without", multiple=True, metavar="HOST", help="As if this host were not there. May be given again.")
@click.option("--add", multiple=True, metavar="CARDS", help="As if a host with such cards were added: `2xRTX4090`.")
def plan(
    inventory: str, as_json: bool, as_markdown: bool, html: Path | None, offline: bool,
    without: tuple[str, ...], add: tuple[str, ...],
) -> None:  # fmt: skip
    """Show what INVENTORY places where, and what is left of the cards' memory; no host is contacted.

    Exit status is 1 where a model is refused.
    """
    if as_json + as_markdown + (html is not None) > 1:
        raise click.UsageError("of --json, --markdown and --html give one")
    placed = _plan(inventory, without, add)
    if html is not None:
        _write(html, placed)
    elif as_json:
        click.echo(json.dumps(show.as_data(placed), indent=1))
    elif as_markdown:
        click.echo(markdown(placed), nl=False)
    else:
        _print(placed)
    sys.exit(1 if placed.capacity.refusals else 0)


def _plan(inventory: str, without: tuple[str, ...], add: tuple[str, ...]) -> FleetPlan:
    """The plan of the inventory, or of what it would be."""
    hosts = read_inventory(inventory)
    if not without and not add:
        return plan_or_refuse(parse_fleet(hosts))
    then = plan_or_refuse(parse_fleet(whatif.changed(hosts, without, add)))
    now = plan_or_refuse(parse_fleet(hosts))
    return replace(then, differences=whatif.differences(now, then))


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
