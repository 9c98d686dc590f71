"""Cards by name, and what a declared size of memory must have meant."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache

from inferfleet.catalogue.card import GIB, MIB, Card, table

_VENDOR = re.compile(r"\b(nvidia|tesla|geforce|amd|radeon|mig)\b")
_TAIL = re.compile(r"\b(generation|gene\.\.\.)$")
# 80G, 80GB and 80GiB are one.
_SIZE = re.compile(r"\b(\d+)\s*gi?b?\b")
# What people leave out: 4090, A6000, PRO 6000.
_SERIES = re.compile(r"^(rtx|gtx|rx)(?=a?\d|pro)")
# What makes no difference to a slice's memory: media engines, graphics.
_EXTRAS = re.compile(r"(?<=gb)[+-](me\.all|me|gfx)$")
# How far a declared size may lie from the driver's: 24 for 23.99 GiB is right, 24 for 22.49 GiB is not.
_SLACK = 0.02
# How much larger than the driver's a size on the box can be: ECC takes 6 %, slices of H200 are 10 % smaller than named.
_SOLD = 1.13


def _key(name: str) -> str:
    """What remains of a name where its spelling makes no difference."""
    text = _EXTRAS.sub("", name.casefold().strip())
    text = _TAIL.sub("", re.sub(r"[-_/,()\s]+", " ", text).strip())
    return _SIZE.sub(r"\1gb", _VENDOR.sub(" ", text)).replace(" ", "")


def _short(card: Card) -> Iterator[str]:
    """A slice's name without its card's size: only one A100 has a 3g.40gb."""
    if card.part_of is not None:
        yield re.sub(r" \d+GB(?= )", "", card.name)


@cache
def _by_key() -> dict[str, tuple[Card, ...]]:
    found: dict[str, tuple[Card, ...]] = {}
    for card, aliases in table().items():
        for key in {_key(name) for name in (card.name, *aliases, *_short(card))}:
            found[key] = (*found.get(key, ()), card)
    for key, cards in list(found.items()):
        loose = _SERIES.sub("", key)
        if loose != key:
            found[loose] = (*found.get(loose, ()), *(card for card in cards if card not in found.get(loose, ())))
    return found


def find(name: str, memory: int | None = None) -> Card | None:
    """The card of that name; None where there is none, or where several have it.

    Args:
        name: as people write it or a driver prints it. Case, spaces, `-`, `_` and the vendor's words do not matter;
            a slice is named by its card and profile: `A30 1g.6gb`.
        memory: bytes that the driver reports. It tells cards apart that drivers call the same: a GeForce RTX 4060 Ti
            of 8 GB and one of 16 GB.
    """
    cards = _by_key().get(_key(name), ())
    if memory is not None:
        cards = tuple(card for card in cards if any(_close(memory, size) for size in _sizes(card)))
    return cards[0] if len(cards) == 1 else None


def cards() -> tuple[Card, ...]:
    """Every card and slice, in the table's order."""
    return tuple(table())


def near(name: str, count: int = 3) -> tuple[str, ...]:
    """Names of cards that may have been meant: all that share the name, else the closest spellings."""
    key = _key(name)
    if key in _by_key():
        return tuple(card.name for card in _by_key()[key])
    grown = [other for other in _by_key() if key and other.startswith(key)]
    return _unique(grown or get_close_matches(key, _by_key(), n=count, cutoff=0.6))[:count]


def _unique(keys: Iterable[str]) -> tuple[str, ...]:
    """Their cards' names, whole cards before slices."""
    cards = dict.fromkeys(card for key in keys for card in _by_key()[key])
    return tuple(card.name for card in sorted(cards, key=lambda card: card.part_of is not None))


def names() -> tuple[str, ...]:
    """The usual name of every card and slice, in the table's order."""
    return tuple(card.name for card in table())


def _sizes(card: Card) -> tuple[int, ...]:
    return (card.memory,) if card.other_memory is None else (card.memory, card.other_memory)


def _close(size: float, other: float) -> bool:
    return abs(size / other - 1) <= _SLACK


def memory_mistake(card: Card, vram_gib: float) -> str | None:
    """What is wrong with a declared size of a card's memory; None where it is right, with ECC on or off.

    Args:
        card: the card that is declared.
        vram_gib: what the inventory gives, GiB.
    """
    if any(_close(vram_gib * GIB, size) for size in _sizes(card)):
        return None
    has = f"{card.name} has {card.memory / GIB:.4g} GiB"
    for unit, meant in (("MiB", MIB), ("bytes", 1), ("KiB", 1024)):
        if any(_close(vram_gib * meant, size) for size in _sizes(card)):
            return f"{has}, and {vram_gib:.12g} is its size in {unit}"
    if vram_gib == round(vram_gib) and card.memory < vram_gib * GIB <= card.memory * _SOLD:
        return f"{has}, and {vram_gib:g} is the size it is sold by"
    if any(_close(vram_gib * 1e9, size) for size in _sizes(card)):
        return f"{has}, and {vram_gib:g} is its size in GB of 1000^3 bytes"
    return f"{has} (got {vram_gib:g})"
