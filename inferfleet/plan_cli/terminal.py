"""The plan on a terminal, or in a pipe: as wide as there is room, without colour as readable as with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferfleet.plan import FleetPlan, show
from inferfleet.plan.capacity import Capacity, CardUse, ModelUse, Refusal
from inferfleet.plan.views import bars, words
from inferfleet.plan.views.fleet import HostView, Kind, card_look, folded, hosts

COLOURS: Mapping[Kind | None, str] = {
    "weights": "blue",
    "kv_cache": "yellow",
    "engine": "magenta",
    "free": "dim",
    None: "default",
}
_MANY_ROWS = 40  # of instances; on a terminal more are folded
_MANY_CARDS = 12  # more bars than these: cards alike share one
_BAR = (16, 32)  # narrowest and widest
_STEM = "  "


class Terminal:
    """Prints a plan.

    Args:
        console: where to; how wide it is, and whether it can print blocks, is its own to know.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._blocks = _can_encode(console.encoding, "".join(bars.BLOCKS.values()) + "±")
        # A pipe has no width to keep to, and a cut address is none.
        self._width = console.width if console.is_terminal else None

    def plan(self, plan: FleetPlan) -> None:
        """All of it: instances, cards, models, losses, what a question changes, refusals."""
        self._instances(plan)
        capacity = plan.capacity
        self._cards(capacity)
        self._models(capacity.models)
        if any(model.placed for model in capacity.models):
            self._losses(capacity)
        self._differences(plan.differences)
        self._refusals(capacity.refusals)

    def _say(self, line: Text | str = "", style: str = "") -> None:
        """A line; what is broken for want of room goes on further to the right."""
        text = Text(line, style) if isinstance(line, str) else line
        further = " " * (len(text.plain) - len(text.plain.lstrip()) + 2)
        fits = self._width is None or len(text) <= self._width
        for number, part in enumerate([text] if fits else text.wrap(self._console, self._console.width - len(further))):
            part.rstrip()
            self._console.print(Text(further if number else "").append_text(part), soft_wrap=True)

    def _heading(self, text: str, more: str = "") -> None:
        self._say()
        self._say(Text.assemble((text, "bold"), more))

    def _table(
        self, titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), red: Sequence[str] = ()
    ) -> None:
        table = Table(box=None)
        for title in titles:
            table.add_column(title, overflow="fold", justify="right" if title in right else "left")
        for row in rows:
            style = "red" if row[0] in red else ""
            table.add_row(*(Text(cell if self._blocks else cell.replace("±", "+-"), style) for cell in row))
        self._console.print(table)

    def _instances(self, plan: FleetPlan) -> None:
        rows = show.rows(plan)
        if self._width is not None and len(rows) > _MANY_ROWS:
            groups = groupby(show.folded_rows(plan), key=lambda row: row[0])
            rows = [(("", name)[number == 0], *row[1:]) for name, own in groups for number, row in enumerate(own)]
        self._table(*self._narrowed(rows))

    def _narrowed(self, rows: Sequence[show.Row]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """The rows without the engine, and then with the port alone, where the terminal is too narrow for more."""
        whole: list[Sequence[str]] = [show.TITLES, *rows]
        if self._fits(whole):
            return whole[0], whole[1:]
        shorter: list[Sequence[str]] = [(*row[:2], *row[3:]) for row in whole]
        if not self._fits(shorter):
            titles, *rest = ([*row[:3], row[3].rpartition(":")[2], *row[4:]] for row in shorter)
            shorter = [["port" if title == "address" else title for title in titles], *rest]
        return shorter[0], shorter[1:]

    def _fits(self, table: Sequence[Sequence[str]]) -> bool:
        return (
            self._width is None or sum(2 + max(map(len, column)) for column in zip(*table, strict=True)) <= self._width
        )

    def _cards(self, capacity: Capacity) -> None:
        views = folded(hosts(capacity))
        if not views:
            return
        self._heading("Memory", f": {words.summary(capacity)}" if capacity.cards else "")
        if capacity.cards:
            self._legend()
        for lines in _Cards(views, capacity.models, self._width, self._blocks).lines():
            self._say(lines)

    def _legend(self) -> None:
        signs = bars.BLOCKS if self._blocks else bars.ASCII
        legend = Text(_STEM)
        for kind, sign in signs.items():
            legend.append(sign, COLOURS[kind]).append(f" {words.NAMES[kind]}   ")
        self._say(legend.append("(GiB)", "dim"))

    def _models(self, models: Sequence[ModelUse]) -> None:
        if not models:
            return
        self._heading("Models")
        titles, rows = words.model_rows(models)
        serving = titles.index("served with")
        room = sum(1 + max(map(len, column)) + 1 for column in zip(titles, *rows, strict=True))
        narrow = self._width is not None and room > self._width
        if narrow:
            titles, *rows = ((*row[:serving], *row[serving + 1 :]) for row in (titles, *rows))
        short = [model.name for model in models if words.falls_short(model)]
        self._table(titles, rows, right=("replicas", "at once", "load", "one copy"), red=short)
        for model in models:
            for note in (*((model.serving,) if narrow else ()), *words.notes(model)):
                self._say(f" {model.name}: {note}", "dim")

    def _losses(self, capacity: Capacity) -> None:
        self._heading("If one is lost")
        for place, what in words.loss_lines(capacity):
            self._say(Text.assemble(" ", (place, "yellow"), f": {what}"))
        if not words.loss_lines(capacity):
            self._say(f" {words.NOTHING_LOST}")

    def _differences(self, differences: Sequence[str]) -> None:
        if differences:
            self._heading(words.COMPARED)
        for line in differences:
            self._say(f" {line}")

    def _refusals(self, refusals: Sequence[Refusal]) -> None:
        if not refusals:
            return
        self._heading("Refused")
        for refusal in refusals:
            self._say(f" {refusal.line}", "red")
            for step in refusal.steps:
                self._say(f"   {step}")


class _Cards:
    """The lines of hosts and cards, in columns."""

    def __init__(self, views: Sequence[HostView], models: Sequence[ModelUse], width: int | None, blocks: bool) -> None:
        self._uses = {model.name: model for model in models}
        self._width = width
        self._blocks = blocks
        many = sum(len(view.cards) for view in views) > _MANY_CARDS
        self._views = [(view, list(_runs(view.cards) if many else ([card] for card in view.cards))) for view in views]
        runs = [run for _, own in self._views for run in own]
        self._label = max((len(words.cards_label(run)) for run in runs), default=0)
        self._model = max((len(run[0].gpu.model) for run in runs), default=0)
        self._sum = max((len(words.card_sum(run[0])) for run in runs), default=0)
        low, high = _BAR
        self._bar = high if width is None else min(max(width // 4, low), high)
        self._wide = width is None or all(self._ahead() + len(self._words(run[0])) <= width for run in runs)

    def lines(self) -> Iterator[Text]:
        """Every host: its cards, its memory and disk, and who looks the same."""
        for view, runs in self._views:
            above: object = None
            for run in runs:
                yield from self._card(run, again=card_look(run[0]) == above)
                above = card_look(run[0])
            alone = "" if view.cards else "no cards"
            about = ", ".join(filter(None, (alone, words.host_words(view.use))))
            line = "; ".join(filter(None, (about and f"{view.name}: {about}", words.the_same(view))))
            if line:
                yield Text(f"{_STEM}{line}")

    def _card(self, run: Sequence[CardUse], again: bool) -> Iterator[Text]:
        card = run[0]
        line = Text(f"{_STEM}{words.cards_label(run):{self._label}} {card.gpu.model:{self._model}}  ")
        edges = ("", "") if self._blocks else ("[", "]")
        line.append(edges[0])
        for piece in bars.bar(card, self._bar):
            line.append(bars.text([piece], self._blocks), COLOURS[piece.kind])
        line.append(f"{edges[1]}  {words.card_sum(card):>{self._sum}}  ")
        if self._wide:
            yield line.append(self._words(card))
            return
        yield line.append(words.card_free(card))
        if not again:
            yield from self._below(card)

    def _below(self, card: CardUse) -> Iterator[Text]:
        """What lies on the card, a model a line, where there is no room beside the bar."""
        indent = " " * (len(_STEM) + self._label + self._model + 3)
        for share in self._shares(card):
            yield Text(indent + share)

    def _words(self, card: CardUse) -> str:
        return "; ".join((*self._shares(card), words.card_free(card)))

    def _shares(self, card: CardUse) -> list[str]:
        return [words.share_words(share, self._uses.get(share.model)) for share in card.shares]

    def _ahead(self) -> int:
        """Columns before the words."""
        return len(_STEM) + self._label + 1 + self._model + 2 + self._bar + 2 * (not self._blocks) + 2 + self._sum + 2


def _runs(cards: Iterable[CardUse]) -> Iterator[list[CardUse]]:
    """Cards that look the same, as far as they follow each other."""
    return (list(run) for _, run in groupby(cards, key=card_look))


def _can_encode(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
