"""`just bench-plan`: processor time and memory of a plan, for fleets of 10 to 5,000 hosts with 8 cards each.

Prints a table in Markdown for docs/benchmarks.md. Each size runs in a process of its own, so that its peak is its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from inferfleet.plan import plan_or_refuse
from inferfleet.spec import parse_fleet

SIZES = (10, 100, 1000, 5000)
MODELS = 500
CARDS: tuple[Sequence[Any], ...] = (
    ["A30"] * 8,
    ["RTX 4090"] * 8,
    ["A30"] * 4 + [{"model": "Card 80", "vram_gib": 80}] * 4,
    [{"model": "Card 48", "vram_gib": 48}] * 8,
)
GIB = (0.5, 1, 2.5, 5, 6.5, 9, 14, 20, 40, 70)


def inventory(hosts: int, models: int = MODELS) -> dict[str, dict[str, Any]]:
    """Hosts in four groups with cards and engines of their own, as pyinfra merges them, and models of every kind."""
    declared = {f"m{number}": _model(number, hosts) for number in range(models)}
    ollama = {"version": "0.32.15", "parallel": 4}
    engines = [
        {"ollama": ollama},
        {"ollama": {**ollama, "keep_alive": "10m"}, "vllm": {"version": "0.11.0"}},
        {"ollama": {**ollama, "per": "node"}},
        {"ollama": {**ollama, "max_loaded_models": 4}, "vllm": {"version": "0.11.0"}},
    ]
    groups = [{"engines": engine, "models": declared} for engine in engines]
    return {f"gpu{number}": {**groups[number % 4], "gpus": list(CARDS[number % 4])} for number in range(hosts)}


def _model(number: int, hosts: int) -> dict[str, Any]:
    """The first two embed and are everywhere; of the others every tenth is spread, pinned, or has cards of its own."""
    if number < 2:
        return {"engine": "ollama", "vram_gib": 0.5, "replicas": "all"}
    data: dict[str, Any] = {"engine": "ollama", "vram_gib": GIB[number * 7 % len(GIB)]}
    data["replicas"] = min(2 ** (number % 6), max(hosts // 4, 1))
    kind = number % 10
    if kind == 3:
        data["placement"] = "spread"
    elif kind == 5:
        data["on"] = [f"gpu{(number + step) % hosts}" for step in range(4)]
        data["replicas"] = min(data["replicas"], 2)
    elif kind == 7:
        data |= {"engine": "vllm", "tensor_parallel": 2}
    return data


def measure(hosts: int) -> dict[str, Any]:
    """One plan, in this process: seconds of processor time, which other work on the machine does not change."""
    data = inventory(hosts)
    started = time.process_time()
    fleet = parse_fleet(data)
    parsed = time.process_time()
    plan = plan_or_refuse(fleet)
    planned = time.process_time()
    return {
        "hosts": hosts,
        "parse": parsed - started,
        "plan": planned - parsed,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "placed": sum(len(use.placed) for use in plan.capacity.models),
        "refused": len(plan.capacity.refusals),
    }


@click.command()
@click.option("--hosts", type=int, multiple=True, default=SIZES, help="How many hosts; may be given again.")
@click.option("--one", type=int, hidden=True, help="Measure one size in this process and print it as JSON.")
def main(hosts: tuple[int, ...], one: int | None) -> None:
    """Measure the planner."""
    if one is not None:
        click.echo(json.dumps(measure(one)))
        return
    click.echo("| hosts | cards | parse, s | plan, s | peak, MiB | replicas | models refused |")
    click.echo("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in hosts:
        command = [sys.executable, "-m", "tools.bench_plan", "--one", str(count)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        click.echo(
            f"| {count:,} | {count * 8:,} | {found['parse']:.2f} | {found['plan']:.2f} | {found['mib']:.0f} "
            f"| {found['placed']:,} | {found['refused']} |"
        )


if __name__ == "__main__":
    main()
