"""`just reference`: pages of docs/reference from the spec, the command line, the cards and the examples.

`tests/test_docs.py` fails while any differs from what this program would write.
"""

import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inferfleet import catalogue
from inferfleet.cli import main as inferfleet
from inferfleet.spec import (
    AddressPool,
    Certificate,
    DeclaredInstance,
    Docker,
    Driver,
    Gateway,
    Gpu,
    Key,
    Model,
    Node,
    OllamaEngine,
    Provider,
    Sources,
    Toolkit,
)
from inferfleet.spec.duration import Limit
from inferfleet.spec.engine import OWNED_ENVIRONMENT, Duration
from inferfleet.spec.parameters import PARAMETERS
from inferfleet.spec.reference import Reference
from tools.example_plans import example_plans_page

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
GENERATED = "<!-- Made by `just reference`; do not edit. -->\n"

_WORDS = {str: "text", int: "whole number", float: "number", bool: "`True` or `False`", Any: "value"}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}

# Texts of a form of their own, and what each is called.
_KINDS = ((Duration, "duration"), (Limit, "limit"), (Reference, "reference"))

# Heading, anchor for links from other tables, class, what stands above the table.
NOUNS: tuple[tuple[str, type[BaseModel], str], ...] = (
    (
        "Host data",
        Node,
        "Written with each host, in the inventory file. A host that has `gpus` or `instances` is a node of the fleet; "
        "any other host, and any other key, is left alone.",
    ),
    (
        "A card",
        Gpu,
        'One entry of `gpus`. A text alone is short for its name: `"A30"` is `{"model": "A30"}`. '
        "[Cards](cards.md) lists those that are known by name, with their memory.",
    ),
    ("An instance", DeclaredInstance, "One entry of `instances`."),
    (
        "Ollama",
        OllamaEngine,
        'The dict `engines["ollama"]`. It may differ between groups of hosts (`group_data/<group>.py`); a group\'s '
        "`engines` takes the place of the one in `all.py` as a whole, nothing is merged.",
    ),
    (
        "A model",
        Model,
        "One entry of the dict `models`: name to settings. The models are the fleet's, so they must be the same for "
        "all hosts: keep them in `group_data/all.py`. A name is written as Ollama writes it (`llama2:13b`, "
        "`team/chat:v1`); without a tag it means `:latest`.",
    ),
    (
        "Docker",
        Docker,
        'The dict `docker`, for the nodes on which something runs with `runtime: "docker"`; the others get no Docker.',
    ),
    ("A range of addresses", AddressPool, 'One entry of `docker["address_pools"]`.'),
    ("NVIDIA driver", Driver, "The dict `driver`. Without it the driver is looked at, and never touched."),
    ("NVIDIA Container Toolkit", Toolkit, "The dict `toolkit`, for nodes whose containers get cards."),
    (
        "Gateway",
        Gateway,
        "The dict `gateway`, for the hosts that are gateways: keep it in `group_data/gateways.py`. A gateway needs no "
        "cards, and a node of the fleet may be one as well. A limit is a whole number of seconds, or a text such as "
        '`"500ms"`, `"30s"` or `"10m"`; a reference is `env:VARIABLE` or `file:secrets/name`, read on this machine '
        "when the gateway's files are made, and shown nowhere.",
    ),
    ("A certificate", Certificate, 'The dict `gateway["certificate"]`.'),
    ("A provider", Provider, 'One entry of the dict `gateway["providers"]`: name to settings.'),
    ("A key", Key, 'One entry `[[key]]` of the file that `gateway["keys"]` names, in TOML.'),
    ("Sources", Sources, "The dict `sources`. The hosts fetch from these addresses themselves."),
)

_HEAD = """# Inventory reference

What an inventory may say. An unknown key in one of these tables is an error, and so is a value of another type: `True`
is never guessed from `"on"` or `1`. A duration is `"forever"`, a whole number of seconds, or a text such as `"5m"` or
`"1h30m"`.

Where the keys are written: hosts with `gpus` and `instances` in the inventory file (`inventory/prod.py`); `models`,
`engines`, `docker`, `driver`, `toolkit` and `sources` in `inventory/group_data/all.py`, or for a group of hosts in
`inventory/group_data/<group>.py`.
All of pyinfra's own keys (`ssh_user`, `ssh_key`, `_sudo`, ...) work as pyinfra documents them; `inferfleet verify`
needs a key or an agent, and sudo without a password.
"""


_CLI_HEAD = """# Command reference

Exit status: 0 when all is well, 1 when something is not (said in one line), 2 for a mistake in the command itself.
"""


def inventory_page() -> str:
    """The reference of the inventory, in Markdown."""
    parts = [GENERATED, _HEAD]
    for heading, noun, intro in NOUNS:
        parts += [f"\n## {heading}\n\n{intro}\n\n", *_field_table(noun)]
    parts += ["\n## Model parameters\n\nKeys of a model's `parameters`, as Ollama 0.32 knows them.\n\n"]
    parts += _table(("parameter", "value"), [(f"`{name}`", kind) for name, kind in PARAMETERS.items()])
    parts += ["\n## Environment that is not yours\n\nNames that `environment` refuses, and the setting for each.\n\n"]
    parts += _table(("variable", "setting"), [(f"`{name}`", use) for name, use in OWNED_ENVIRONMENT.items()])
    return "".join(parts)


def _field_table(noun: type[BaseModel]) -> Iterator[str]:
    rows = [
        (f"`{name}`", words(field.annotation, field.metadata), _default(field), field.description or "")
        for name, field in noun.model_fields.items()
    ]
    return _table(("key", "value", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    return f"`{value!r}`".replace("'", '"')


def words(annotation: Any, metadata: Any = ()) -> str:
    """A type in plain words, with its bounds.

    Raises:
        ValueError: a type that this table has no words for.
    """
    for kind, said in _KINDS:
        if annotation == kind or _is_marked(typing.get_args(kind)[1], metadata):
            return said
    bounds = ", ".join(f"{_BOUNDS[key]} {value}" for key, value in _bounds(metadata))
    text = _kind(annotation)
    return f"{text}, {bounds}" if bounds else text


def _is_marked(mark: Any, metadata: Any) -> bool:
    return any(entry is mark for entry in metadata)


def _bounds(metadata: Any) -> Iterator[tuple[str, float]]:
    for entry in metadata:
        for part in (entry, *getattr(entry, "metadata", ())):
            yield from ((key, getattr(part, key)) for key in _BOUNDS if getattr(part, key, None) is not None)


def _kind(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return words(inner[0], inner[1:])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(part) for part in inner if part is not type(None))
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in inner)
    if origin is tuple:
        return f"list: each {words(inner[0])}"
    if origin is dict:
        return f"dict: {words(inner[0])} to {words(inner[1])}"
    for heading, noun, _ in NOUNS:
        if annotation is noun:
            return f"[{heading[0].lower()}{heading[1:]}](#{heading.lower().replace(' ', '-')})"
    raise ValueError(f"no words for the type {annotation!r}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n"


def cli_page() -> str:
    """The reference of the commands, in Markdown."""
    return "".join([GENERATED, _CLI_HEAD, *_command("inferfleet", inferfleet)])


def _command(path: str, command: click.Command) -> Iterator[str]:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    if isinstance(command, click.Group):
        usage += " COMMAND"
    text = "\n\n".join(" ".join(block.split()) for block in (command.help or "").split("\n\n"))
    yield f"\n## {path}\n\n{text}\n\n```text\n{usage}\n```\n"
    if options:
        yield "\n"
        yield from _table(("option", "meaning"), [(_option(option), option.help or "") for option in options])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(f"{path} {name}", inner)


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    name = name if argument.required else f"[{name}]"
    return f"{name}..." if argument.nargs == -1 else name


def _option(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    takes = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    default = option.default if isinstance(option.default, tuple | str) and option.show_default else ()
    shown = f" (default {', '.join([default] if isinstance(default, str) else default)})" if default else ""
    return f"`{names}{takes}`{shown}"


_CARDS_HEAD = """# Cards

The cards that Inferfleet knows by name, so that memory can be planned without a look at a host. Case, spaces, `-` and
the vendor's words make no difference to a name: `NVIDIA A100-SXM4-80GB` is an `A100 80GB`. A slice (MIG) is a card of
its own: `A30 1g.6gb`.

"Memory" is what the driver reports in all, with ECC as the card leaves the factory; the number after a stroke is with
ECC the other way. "Leaves" is what an empty card leaves to processes: the memory less what the driver keeps for itself,
which was recorded on such a card, or follows from a rule (`by rule`) that lies above all that was recorded.
"""
_ENGINES_HEAD = """
## What runs where

The least compute capability that an engine needs, from a version on. Maxwell, Pascal and Volta (below 7.5) end with
CUDA 12.9 and with branch 580 of the driver.

"""


def cards_page() -> str:
    """The reference of the cards, in Markdown."""
    head = ("card", "generation", "compute capability", "memory, GiB", "leaves, GiB", "slices")
    rows = [_card(card) for card in catalogue.cards() if card.part_of is None]
    parts = [GENERATED, _CARDS_HEAD, "\n## All cards\n\n", *_table(head, rows), _ENGINES_HEAD]
    parts += _table(("engine", "from", "compute capability", "built with CUDA"), list(catalogue.needs()))
    return "".join(parts)


def _card(card: catalogue.Card) -> tuple[str, ...]:
    other = f" / {card.other_memory / 2**30:.2f}" if card.other_memory else ""
    return (
        f"`{card.name}`",
        card.generation,
        ".".join(map(str, card.compute)) if card.compute else "none",
        f"{card.memory / 2**30:.2f}{other}",
        f"{card.usable / 2**30:.2f}{'' if card.recorded else ' by rule'}",
        ", ".join(f"{count} of {profile}" for profile, count in card.mig) or "none",
    )


PAGES = {
    "inventory.md": inventory_page,
    "cli.md": cli_page,
    "cards.md": cards_page,
    "example-plans.md": example_plans_page,
}


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())


if __name__ == "__main__":
    main()
