"""Many host names in few words."""

import re
from collections.abc import Iterable, Sequence

_FEW = 2  # so many in a row are named each


def in_short(names: Sequence[str]) -> str:
    """`gpu1, gpu3 to gpu50`: names that count up, one after the other, as a range."""
    words: list[str] = []
    for run in _runs(names):
        words += run if len(run) <= _FEW else [f"{run[0]} to {run[-1]}"]
    return ", ".join(words)


def _runs(names: Iterable[str]) -> list[list[str]]:
    """The names in order, those in one list that count up in the same place."""
    runs: list[list[str]] = []
    place: int | None = None
    for name in names:
        step = _step(runs[-1][-1], name) if runs else None
        if step is not None and (len(runs[-1]) == 1 or step == place):
            runs[-1].append(name)
            place = step
        else:
            runs.append([name])
            place = None
    return runs


def _step(one: str, two: str) -> int | None:
    """Which of its numbers is one more in the second name, where nothing else differs."""
    before, after = re.split(r"(\d+)", one), re.split(r"(\d+)", two)
    if len(before) != len(after):
        return None
    differ = [place for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if len(differ) != 1 or not before[differ[0]].isdigit():
        return None
    number = before[differ[0]]
    return differ[0] if str(int(number) + 1).zfill(len(number)) == after[differ[0]] else None
