"""A card's memory as a bar of characters."""

from collections.abc import Sequence
from typing import NamedTuple

from inferfleet.plan.capacity import CardUse
from inferfleet.plan.views.fleet import KINDS, Kind, drawn, parts

# Readable without colour: darker or lighter for those who can print blocks, other signs for those who cannot.
BLOCKS = dict(zip(KINDS, "█▓▒░", strict=True))
ASCII = dict(zip(KINDS, "#=._", strict=True))


class Piece(NamedTuple):
    """Part of a bar: what it stands for (None: the line between two models), and how many characters."""

    kind: Kind | None
    cells: int


def bar(card: CardUse, width: int) -> list[Piece]:
    """The card's memory over that many characters, model after model, then what is free.

    What is there at all has one character at least. Where models are too many for that, they are drawn as one.
    """
    models = [list(parts(share)) for share in drawn(card)]
    if sum(len(model) + 1 for model in models) > width:
        kinds = KINDS[:-1]
        models = [[(kind, sum(size for model in models for own, size in model if own == kind)) for kind in kinds]]
    lines = max(len(models) - 1, 0)
    sizes = [size for model in models for _, size in model]
    counts = iter(_cells([*sizes, max(card.free, 0)], width - lines))
    pieces: list[Piece] = []
    for number, model in enumerate(models):
        pieces += [Piece(None, 1)] * bool(number) + [Piece(kind, next(counts)) for kind, _ in model]
    return [*pieces, Piece("free", next(counts))]


def text(pieces: Sequence[Piece], blocks: bool) -> str:
    """The bar's characters."""
    signs = BLOCKS if blocks else ASCII
    return "".join("|" if piece.kind is None else signs[piece.kind] * piece.cells for piece in pieces)


def _cells(sizes: Sequence[int], width: int) -> list[int]:
    """Characters for each size, in proportion, `width` in all; none that is not nothing gets none."""
    whole = sum(sizes)
    if whole <= 0:
        return [*(0 for _ in sizes[:-1]), width]
    cells = [max(int(size * width / whole), int(size > 0)) for size in sizes]
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        # The one that is furthest from its due; one that has a single character keeps it.
        due = [(size * width / whole - have) * step for size, have in zip(sizes, cells, strict=True)]
        able = [place for place, have in enumerate(cells) if (have > 1 or step > 0) and sizes[place] > 0]
        if not able:
            break
        cells[max(able, key=lambda place: due[place])] += step
    return cells
