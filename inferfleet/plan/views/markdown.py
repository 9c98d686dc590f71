"""The plan as GitHub-flavoured Markdown, for a pull request: tables, and bars in text. Names cannot break out of it.

Names and bars are in code spans, sentences with names in fenced blocks: there GitHub knows no markup, no mention and no
reference to an issue. In a table it takes `|` for the end of a cell even in code (GFM 0.29, 4.10), unless escaped.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from inferfleet.plan.capacity import Capacity
from inferfleet.plan.show import TITLES, folded_rows
from inferfleet.plan.types import FleetPlan
from inferfleet.plan.views import bars, words
from inferfleet.plan.views.fleet import folded, hosts

_BAR = 24


def markdown(plan: FleetPlan) -> str:
    """All of the plan; hosts that run the same, or look the same, are one row."""
    capacity = plan.capacity
    parts = [
        *_section("Plan", _table(TITLES, (_all_code(row) for row in folded_rows(plan)))),
        *(_memory(capacity) if capacity.hosts or capacity.cards else ()),
        *(_models(capacity) if capacity.models else ()),
        *(_section(words.COMPARED, _fenced(plan.differences)) if plan.differences else ()),
        *(_refused(capacity) if capacity.refusals else ()),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _section(heading: str, *bodies: Iterable[str]) -> Iterator[str]:
    yield f"### {heading}"
    for body in bodies:
        yield ""
        yield from body
    yield ""


def _memory(capacity: Capacity) -> Iterator[str]:
    uses = {model.name: model for model in capacity.models}
    views = folded(hosts(capacity))
    signs = ", ".join(f"`{sign}` {words.NAMES[kind]}" for kind, sign in bars.BLOCKS.items())
    rows = []
    for view in views:
        for card in view.cards:
            shares = [words.share_words(share, uses.get(share.model)) for share in card.shares]
            cells = (words.cards_label([card]), card.gpu.model, bars.text(bars.bar(card, _BAR), blocks=True))
            on = "<br>".join(map(_code, shares)) or "-"
            rows.append((*_all_code(cells), words.card_sum(card), words.card_free(card).removeprefix("free "), on))
    about = [f"{view.name}: {text}" for view in views if (text := words.host_words(view.use))]
    same = [f"{view.name}, and {words.the_same(view)}" for view in views if view.same]
    summary = [f"{words.summary(capacity)}. {signs}. Sizes are GiB."] if capacity.cards else []
    titles = ("card", "model", "memory", "planned", "free", "on it")
    table = _table(titles, rows, right=("planned", "free")) if rows else ()
    return _section("Memory", *filter(None, (summary, list(table), _fenced([*about, *same]))))


def _models(capacity: Capacity) -> Iterator[str]:
    titles, rows = words.model_rows(capacity.models)
    # Numbers are as safe as they are; the names and texts around them are not.
    safe = ((_code(row[0]), *row[1:-2], *_all_code(row[-2:])) for row in rows)
    table = _table(titles, safe, right=("replicas", "at once", "load", "one copy"))
    notes = [f"{model.name}: {note}" for model in capacity.models for note in words.notes(model)]
    yield from _section("Models", *filter(None, (list(table), _fenced(notes))))
    lost = [f"{place}: {what}" for place, what in words.loss_lines(capacity)]
    yield from _section("If one is lost", _fenced(lost) or [words.NOTHING_LOST])


def _refused(capacity: Capacity) -> Iterator[str]:
    lines = []
    for refusal in capacity.refusals:
        lines += [refusal.line, *(f"  {step}" for step in refusal.steps)]
    return _section("Refused", _fenced(lines))


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---:' if title in right else '---' for title in titles)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _all_code(cells: Iterable[str]) -> list[str]:
    return [_code(cell) for cell in cells]


def _code(text: str) -> str:
    """A code span in a table that shows the text, whatever is in it (CommonMark 0.31, 6.1)."""
    plain = _one_line(text).replace("|", "\\|")
    fence = "`" * (_longest_run(plain) + 1)
    room = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{fence}{room}{plain}{room}{fence}"


def _fenced(lines: Sequence[str]) -> list[str]:
    """A fenced block that shows the lines, whatever is in them; nothing for no lines."""
    if not lines:
        return []
    plain = [line[: len(line) - len(line.lstrip())] + _one_line(line) for line in lines]
    fence = "`" * max(3, *(_longest_run(line) + 1 for line in plain))
    return [f"{fence}text", *plain, fence]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
