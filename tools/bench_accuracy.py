"""`python -m tools.bench_accuracy`: what the memory model says beside what the real llama-server prints.

Prints a table in Markdown for docs/benchmarks.md; half a minute once llama-server is in the cache.
"""

import tempfile
from pathlib import Path

import click

from tests.memory import cases
from tests.memory.cases import MIB, Measured
from tests.memory.make_models import MODELS, write

HEAD = ["model", "weights MiB", "KV cache MiB, said", "printed", "compute MiB, said", "printed", "on the card, error"]


def row(name: str, measured: Measured) -> list[str]:
    """One line of the table."""
    said = measured.said
    total = measured.of("model", "KV", "compute")
    error = (said.weights + said.kv_cache + measured.compute) / total - 1
    pairs = (said.kv_cache, measured.of("KV")), (measured.compute, measured.of("compute"))
    return [name, *(f"{size / MIB:.2f}" for size in (said.weights, *pairs[0], *pairs[1])), f"{error:+.2%}"]


def main() -> None:
    """Make each model, load it in each way, print what came out, leave nothing."""
    program = cases.llama_server()
    click.echo("| " + " | ".join(HEAD) + " |")
    click.echo("|" + " --- |" * len(HEAD))
    with tempfile.TemporaryDirectory() as directory:
        made = {name: Path(directory) / f"{name}.gguf" for name in MODELS}
        sizes = {name: write(MODELS[name], path) for name, path in made.items()}
        for name, serving in cases.ON_ONE_CARD:
            measured = cases.measured(program, made[name], sizes[name], serving)
            click.echo("| " + " | ".join(row(cases.name_of(name, serving), measured)) + " |")


if __name__ == "__main__":
    main()
