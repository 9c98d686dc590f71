"""What is shown of a fleet: its hosts with their cards, those that look the same together. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from inferfleet.plan.capacity import Capacity, CardUse, HostUse, Share

Kind = Literal["weights", "kv_cache", "engine", "free"]
KINDS: tuple[Kind, ...] = ("weights", "kv_cache", "engine", "free")


@dataclass(frozen=True)
class HostView:
    """A host as it is shown.

    Attributes:
        name: the host.
        cards: its cards with what lies on them.
        use: its memory and disk; None where nothing is known of them.
        same: further hosts that look like it, in the order of the inventory.
    """

    name: str
    cards: tuple[CardUse, ...]
    use: HostUse | None
    same: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """It, and all that look like it."""
        return (self.name, *self.same)


def hosts(capacity: Capacity) -> tuple[HostView, ...]:
    """Every host of which anything is known, in the order of the inventory."""
    uses = {use.node: use for use in capacity.hosts}
    cards: dict[str, list[CardUse]] = {name: [] for name in uses}
    for card in capacity.cards:
        cards.setdefault(card.node, []).append(card)
    return tuple(HostView(name, tuple(own), uses.get(name)) for name, own in cards.items())


def folded(views: Iterable[HostView]) -> tuple[HostView, ...]:
    """The hosts, each that looks like an earlier one under that one."""
    found: dict[object, HostView] = {}
    for view in views:
        look = (tuple(map(card_look, view.cards)), view.use and replace(view.use, node=""))
        first = found.get(look)
        found[look] = replace(first, same=(*first.same, view.name)) if first else view
    return tuple(found.values())


def card_look(card: CardUse) -> object:
    """What a reader sees of a card, its place aside: equal for cards that look the same."""
    shares = tuple(replace(share, instance="") for share in card.shares)
    return (card.gpu.model, card.total, card.usable, card.taken, shares)


def drawn(card: CardUse) -> tuple[Share, ...]:
    """The shares that count: all that stay, and of those that wait the largest."""
    waiting = [share for share in card.shares if share.waits]
    largest = max(waiting, key=lambda share: share.total, default=None)
    return tuple(share for share in card.shares if not share.waits or share is largest)


def parts(share: Share) -> Iterator[tuple[Kind, int]]:
    """What it consists of, in the order in which it is drawn; nothing that is empty."""
    sizes: tuple[tuple[Kind, int], ...] = (
        ("weights", share.weights),
        ("kv_cache", share.kv_cache),
        ("engine", share.overhead),
    )
    return ((kind, size) for kind, size in sizes if size)


def sums(cards: Iterable[CardUse]) -> tuple[int, int, int]:
    """Of these cards: how many, what is planned on them, and what they leave to engines."""
    own = tuple(cards)
    return len(own), sum(card.taken for card in own), sum(card.usable for card in own)
