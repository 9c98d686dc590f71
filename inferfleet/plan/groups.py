"""Groups of cards for engines that are started for one model, and which such groups a host has to give."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from inferfleet.plan.demand import Demand
from inferfleet.plan.rooms import CardRoom, HostRoom
from inferfleet.spec import FleetNode, Model, ServerEngine


@dataclass(slots=True, eq=False)
class Group:
    """The cards of one replica, on one host or (pipeline parallelism) on several.

    Attributes:
        parts: each host with the cards that it gives; the first one's has the port.
        each: bytes that are taken of each card.
    """

    model: str
    engine: str
    settings: ServerEngine
    parts: tuple[tuple[HostRoom, tuple[CardRoom, ...]], ...]
    demand: Demand
    each: int
    port: int

    @property
    def cards(self) -> tuple[CardRoom, ...]:
        """All of its cards."""
        return tuple(card for _, cards in self.parts for card in cards)

    @property
    def weights(self) -> int:
        """Of the weights, what lies on each card."""
        need = self.demand.need
        return -(-need.weights // need.cards)

    @property
    def kv_cache(self) -> int:
        """What each card has for the KV cache: an engine with one model keeps all that it was given for it."""
        return self.each - self.weights - self.demand.need.overhead

    @property
    def unit(self) -> str:
        """Its name on its hosts: `vllm-qwen2.5-7b-gpu0-gpu1`."""
        slug = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in self.model.lower())
        return "-".join([self.engine, slug, *(f"gpu{card.gpu.index}" for card in self.parts[0][1])])

    @property
    def name(self) -> str:
        """`gpu1/vllm-qwen2.5-7b-gpu0`."""
        return f"{self.parts[0][0].name}/{self.unit}"


_ORDER: dict[str, Callable[[CardRoom], int]] = {"balance": lambda card: -card.free, "pack": lambda card: card.free}


def teams(node: FleetNode, room: HostRoom, model: Model, able: Sequence[CardRoom]) -> Iterator[tuple[CardRoom, ...]]:
    """Sets of `tensor_parallel` cards of one kind on a host, each card in one set only, the best first.

    Cards with NVLink among them come before others: tensor parallelism exchanges activations after each layer.
    """
    order = sorted(able, key=_ORDER["pack" if model.placement == "pack" else "balance"])
    used: set[CardRoom] = set()
    links = node.node.nvlink if model.tensor_parallel > 1 else ()
    linked = [[room.cards[position] for position in group] for group in links]
    for alike in (kind for cards in (*linked, order) for kind in _by_kind(cards)):
        left = [card for card in order if card in alike and card not in used]
        while len(left) >= model.tensor_parallel:
            team, left = left[: model.tensor_parallel], left[model.tensor_parallel :]
            used.update(team)
            yield tuple(sorted(team, key=lambda card: card.position))


def _by_kind(cards: Sequence[CardRoom]) -> Iterator[Sequence[CardRoom]]:
    for kind in dict.fromkeys((card.gpu.model, card.total) for card in cards):
        yield [card for card in cards if (card.gpu.model, card.total) == kind]
