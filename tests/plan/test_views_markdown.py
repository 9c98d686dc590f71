"""The plan as Markdown, read back by a parser of CommonMark with GitHub's tables."""

from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from inferfleet.plan.views.markdown import markdown
from tests.plan import capacities
from tests.plan.capacities import FLEETS, changed

HOSTILE = "a|b\\|`x` ``y`` <b>@team #12 *s* [l](u) ![i](u) |"


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells."""
    found: list[list[list[str]]] = []
    tokens = parsed(text)
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(part.content for part in tokens[place + 1].children or ()))
    return found


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_tables_are_tables(make: Any) -> None:
    plan = make()
    found = tables(markdown(plan))
    assert len(found) == (3 if plan.capacity.cards else 2)
    for rows in found:
        assert len({len(row) for row in rows}) == 1


def test_what_it_says() -> None:
    text = markdown(capacities.mixed_cards())
    instances, memory, models = tables(text)
    assert instances[1] == ["box", "ollama-gpu0", "ollama 0.32.15", "0: RTX 4090", "127.0.0.1:11434", "qwen2.5:32b"]
    assert memory[1] == [
        *("box/0", "RTX 4090", "███████████████████▓▓▒▒░", "22.4 of 23.5 GiB", "1.1"),
        "qwen2.5:32b: weights 18.5, KV cache 2.0 (2 x 1.0), engine 1.9",
    ]
    assert memory[2][2] == "███▓▓▓▒|█▓▒░░░░░░░░░░░░░"
    assert models[1][-1] == "its parameters, ±10 %"
    fences = [token.content for token in parsed(text) if token.type == "fence"]
    assert fences[-1].splitlines()[0].startswith("models.llama2:70b: needs 41.2 GiB")
    assert "box/0: no replica is left of qwen2.5:32b; mistral:7b answers 4 at once, load 6\n" in "".join(fences)


def test_fifty_hosts_are_short() -> None:
    text = markdown(capacities.fifty())
    assert len(text) < 10_000
    assert "gpu1.example.net, and gpu2.example.net to gpu4.example.net: the same" in text
    assert "no single host or card takes a model away" in text


def hostile() -> Any:
    """A plan in which every name is one that would break out."""
    plan = capacities.mixed_cards()
    capacity = plan.capacity
    cards = tuple(
        replace(
            card,
            node=HOSTILE,
            gpu=replace(card.gpu, model=HOSTILE),
            shares=tuple(replace(share, model=HOSTILE) for share in card.shares),
        )
        for card in capacity.cards
    )
    models = tuple(replace(one, name=HOSTILE, notes=(HOSTILE,), known_from=HOSTILE) for one in capacity.models)
    refusals = tuple(replace(one, line=HOSTILE, steps=("```", HOSTILE)) for one in capacity.refusals)
    losses = tuple(replace(one, node=HOSTILE, gone=(HOSTILE,), overloaded={}) for one in capacity.losses)
    hosts = tuple(replace(one, node=HOSTILE) for one in capacity.hosts)
    nodes = tuple(replace(node, name=HOSTILE) for node in plan.nodes)
    made = replace(plan, nodes=nodes)
    return changed(made, cards=cards, models=models, refusals=refusals, losses=losses, hosts=hosts)


def test_no_name_breaks_out() -> None:
    """Apart from our own line breaks there is no markup but code; GitHub looks for no mention and no issue there."""
    text = markdown(hostile())
    for token in parsed(text):
        inside = [part for part in token.children or () if part.type != "code_inline"]
        said = "".join(part.content for part in inside)
        assert "team" not in said, said
        assert {part.type for part in inside} <= {"text", "html_inline"}
        assert {part.content for part in inside if part.type == "html_inline"} <= {"<br>"}
    instances, memory, models = tables(text)
    assert instances[1][0] == HOSTILE
    assert memory[1][1] == HOSTILE
    assert models[1][0] == HOSTILE
    fences = [token.content for token in parsed(text) if token.type == "fence"]
    assert f"{HOSTILE}\n  ```\n  {HOSTILE}\n" in fences[-1]
