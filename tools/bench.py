"""`just bench`: what a run costs on one and four bare lab hosts, next to the least that any tool could need.

Prints a table in Markdown for docs/benchmarks.md. The limit is one SSH connection to each host at once, and the one
question of `remote/ollama_state.py` over it.
"""

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import paramiko

from inferfleet.lab import HostSpec, Lab
from inferfleet.lab.mirror.prepare import prepare_mirror
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.paths import cache_dir
from inferfleet.remote import compact, script
from tests.lab.project import Project

QUESTION: dict[str, Any] = {
    "root": "/opt/inferfleet/ollama",
    "user": "ollama",
    "home": "/usr/share/ollama",
    "record": "/var/lib/inferfleet/ollama.json",
    "unit_dir": "/etc/systemd/system",
    "models_dir": "/usr/share/ollama/.ollama/models",
    "models": ["tiny:latest"],
    "units": ["ollama-cpu0"],
    "addresses": {"ollama-cpu0": "127.0.0.1:11434"},
}
TIMES = 5


def median_s(action: Callable[[], object]) -> float:
    """The median of some runs of an action, in seconds."""
    taken = []
    for _ in range(TIMES):
        begun = time.monotonic()
        action()
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def limit(lab: Lab, names: list[str]) -> None:
    """Connect to every host at once and ask it everything once."""

    def one(name: str) -> None:
        with paramiko.SSHClient() as client:
            client.load_host_keys(str(lab.known_hosts))
            client.connect(lab.hosts[name].address, username="root", key_filename=str(lab.key), allow_agent=False)
            _, output, _ = client.exec_command(shlex.join(["python3", "-c", script("ollama_state"), compact(QUESTION)]))
            json.loads(output.read())

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(one, names))


def measure(lab: Lab, count: int) -> list[str]:
    """One row: hosts, first apply, second apply, dry run, round trips per host, limit, ratio."""
    names = [f"node{number}" for number in range(1, count + 1)]
    for name in names:
        lab.hosts[name].reset()
    with tempfile.TemporaryDirectory() as directory:
        project = Project(
            Path(directory) / "fleet", lab, {name: {"instances": [{"engine": "ollama"}]} for name in names}
        )
        begun = time.monotonic()
        run = project.apply()
        first = time.monotonic() - begun
        if run.rc:
            sys.exit(run.text)
        trips = Path(directory) / "trips.json"
        again = project.pyinfra("-y", INFERFLEET_ROUND_TRIPS=str(trips))
        if again.changes:
            sys.exit(again.text)
        per_host = max(host["total"] for host in json.loads(trips.read_text()).values())
        second = median_s(project.apply)
        dry = median_s(project.dry)
        least = median_s(lambda: limit(lab, names))
    start = median_s(lambda: subprocess.run([sys.executable, "-c", "import pyinfra_cli.cli"], check=True))
    row = [count, f"{first:.1f}", f"{second:.2f}", f"{dry:.2f}", per_host, f"{least:.2f}", f"{start:.2f}"]
    return [*map(str, row), f"{second / (least + start):.1f}x"]


def main() -> None:
    """Make a lab, measure, print the table, leave nothing."""
    click.echo("preparing the mirror and the lab ...", err=True)
    root = prepare_mirror(["0.32.15"], cache_dir(), lambda text: click.echo(text, err=True))
    with Lab("bench", [HostSpec(f"node{number}") for number in range(1, 5)]) as lab:
        serve_mirror(lab, root)
        head = [
            "hosts",
            "first apply s",
            "second apply s",
            "dry run s",
            "round trips per host",
            "limit s",
            "pyinfra's start s",
        ]
        click.echo("| " + " | ".join([*head, "second apply / (limit + start)"]) + " |")
        click.echo("|" + " --- |" * (len(head) + 1))
        for count in (1, 4):
            click.echo("| " + " | ".join(measure(lab, count)) + " |")


if __name__ == "__main__":
    main()
