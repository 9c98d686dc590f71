"""`inferfleet lab mirror`: build what lab hosts fetch."""

from pathlib import Path

import click

from inferfleet.lab.mirror.prepare import NAMES, OLLAMA, prepare_mirror
from inferfleet.lab.mirror.repositories import prepare_repositories
from inferfleet.lab.mirror.toolkit import TOOLKIT
from inferfleet.lab.paths import cache_dir


@click.command()
@click.option(
    "--ollama-version", "versions", multiple=True, default=(OLLAMA,), show_default=True, help="Release to build."
)
@click.option("--model", "names", multiple=True, default=NAMES, show_default=True, help="Name for the tiny model.")
@click.option("--cache", type=click.Path(path_type=Path), help="Instead of the usual cache directory.")
@click.option("--refresh", is_flag=True, help="Take newer packages of llama.cpp from Debian if there are any.")
@click.option("--apt/--no-apt", default=False, help="Docker's and the NVIDIA Container Toolkit's repositories as well.")
@click.option(
    "--toolkit-version", "toolkits", multiple=True, default=(TOOLKIT,), show_default=True, help="Toolkit to build."
)
@click.option("--driver-version", "drivers", multiple=True, help="Doubles of the NVIDIA driver to offer as packages.")
def mirror(
    versions: tuple[str, ...],
    names: tuple[str, ...],
    cache: Path | None,
    refresh: bool,
    apt: bool,
    toolkits: tuple[str, ...],
    drivers: tuple[str, ...],
) -> None:
    """Build the artefact mirror into the cache and print the directory to serve."""
    kept = cache or cache_dir()
    root = prepare_mirror(versions, kept, _tell, names, refresh)
    if apt:
        made = prepare_repositories(root, kept, _tell, versions=toolkits, drivers=drivers)
        _tell(f"fingerprint of the key of the apt repositories: {made.fingerprint}")
    click.echo(root)


def _tell(line: str) -> None:
    click.echo(line, err=True)
