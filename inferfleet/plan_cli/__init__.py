"""`inferfleet plan`: what an inventory places where, and what that takes, in the form that is asked for."""

import json
import sys

import click
from rich.console import Console

from inferfleet.inventory import plan_from
from inferfleet.plan import show
from inferfleet.plan_cli.terminal import Terminal

_PIPE = 1000  # columns; a pipe has none to keep to


@click.command()
@click.argument("inventory", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(inventory: str, as_json: bool) -> None:
    """Show what INVENTORY places where; no host is contacted."""
    placed = plan_from(inventory)
    if as_json:
        click.echo(json.dumps(show.as_data(placed), indent=1))
    else:
        Terminal(Console(width=None if sys.stdout.isatty() else _PIPE)).plan(placed)
    sys.exit(1 if placed.capacity.refusals else 0)
