"""`inferfleet lab mirror`: build what lab hosts fetch."""

from pathlib import Path

import click

from inferfleet.lab.mirror.prepare import NAMES, OLLAMA, prepare_mirror
from inferfleet.lab.paths import cache_dir


@click.command()
@click.option(
    "--ollama-version", "versions", multiple=True, default=(OLLAMA,), show_default=True, help="Release to build."
)
@click.option("--model", "names", multiple=True, default=NAMES, show_default=True, help="Name for the tiny model.")
@click.option("--cache", type=click.Path(path_type=Path), help="Instead of the usual cache directory.")
@click.option("--refresh", is_flag=True, help="Take newer packages of llama.cpp from Debian if there are any.")
def mirror(versions: tuple[str, ...], names: tuple[str, ...], cache: Path | None, refresh: bool) -> None:
    """Build the artefact mirror into the cache and print the directory to serve."""
    root = prepare_mirror(versions, cache or cache_dir(), lambda line: click.echo(line, err=True), names, refresh)
    click.echo(root)
