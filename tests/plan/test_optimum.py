"""How good the planner is: replicas that it places, against the most that can be placed in any order.

Small fleets of real cards and sizes of real models: one to three hosts with one or two cards each, models of one to
three replicas until they ask for 60 to 110 % of the cards' memory.
The optimum is exact: a search over every set of cards for every model, and every set of replicas left out.
"""

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from inferfleet.plan import plan_or_refuse
from inferfleet.plan.capacity import GIB
from inferfleet.spec import parse_fleet

FLEETS = 200
CARDS = (
    "A30",
    "RTX 4090",
    "RTX 3090",
    "P40",
    "P4",
    {"model": "RTX A6000", "vram_gib": 48},
    {"model": "A16", "vram_gib": 16},
)
# 4-bit weights with their cache and overhead: an embedding model, 1B, 3B, 7B, 8B at 8 bits, 13B, 14B, 32B, 70B.
GIB_OF_MODELS = (0.7, 1.6, 3.0, 5.5, 6.5, 9.5, 10.5, 12.0, 21.5, 43.0)


def fleet(seed: int, placement: str) -> dict[str, dict[str, Any]]:
    """A fleet by its number."""
    random = Random(seed)
    hosts = {
        f"h{number}": random.choices(CARDS, k=random.choice([1, 2, 2])) for number in range(random.choice([1, 2, 2, 3]))
    }
    room = {name: [_usable(card) for card in cards] for name, cards in hosts.items()}
    largest, total = max(max(each) for each in room.values()), sum(sum(each) for each in room.values())
    wanted, models = total * random.uniform(0.6, 1.1), {}
    sizes = [size for size in GIB_OF_MODELS if size <= largest]
    while wanted > 0:
        size = random.choice(sizes)
        replicas = min(random.choice([1, 1, 1, 2, 3]), sum(len(cards) for cards in hosts.values()))
        if size * replicas > wanted:
            sizes, replicas = [smaller for smaller in sizes if smaller < size], 1
            if not sizes:
                break
            if size > wanted:
                continue
        model = {"engine": "ollama", "vram_gib": size, "replicas": replicas, "placement": placement}
        models[f"m{len(models)}"] = model
        wanted -= size * replicas
    engines = {"ollama": {"version": "0.32.15"}}
    return {name: {"gpus": cards, "engines": engines, "models": models} for name, cards in hosts.items()}


def _usable(card: Any) -> float:
    return {"A30": 23.1, "RTX 4090": 23.3, "RTX 3090": 23.3, "P40": 22.0, "P4": 7.2}.get(
        card if isinstance(card, str) else "", 0.96 * (card["vram_gib"] if isinstance(card, dict) else 0)
    )


def placed_and_optimum(seed: int, placement: str) -> tuple[int, int]:
    """Replicas that the planner places, and the most that can be."""
    hosts = fleet(seed, placement)
    plan = plan_or_refuse(parse_fleet(hosts))
    models = [(int(model["vram_gib"] * GIB), model["replicas"]) for model in hosts["h0"]["models"].values()]
    placed, wanted = sum(len(use.placed) for use in plan.capacity.models), sum(replicas for _, replicas in models)
    cards = [(card.node, card.usable) for card in plan.capacity.cards]
    most = next((n for n in range(wanted, placed, -1) if Search(cards, models, placement).can_drop(wanted - n)), placed)
    return placed, most


class Search:
    """Whether all replicas but some can be placed: each set of cards for each model, the largest models first."""

    def __init__(self, cards: list[tuple[str, int]], models: list[tuple[int, int]], placement: str) -> None:
        self.hosts = [host for host, _ in cards]
        self.room = tuple(room for _, room in cards)
        self.models = sorted(models, reverse=True)
        self.spread = placement == "spread"
        self.failed: set[tuple[int, int, tuple[int, ...]]] = set()

    def can_drop(self, drops: int) -> bool:
        return self._place(0, drops, self.room)

    def _place(self, index: int, drops: int, left: tuple[int, ...]) -> bool:
        if index == len(self.models):
            return True
        state = (index, drops, left if self.spread else tuple(sorted(left)))
        if state in self.failed or self._too_much(index, drops, left):
            return False
        size, replicas = self.models[index]
        for taken, dropped in self._choices(size, replicas, drops, left):
            then = tuple(room - size * (position in taken) for position, room in enumerate(left))
            if self._place(index + 1, drops - dropped, then):
                return True
        self.failed.add(state)
        return False

    def _too_much(self, index: int, drops: int, left: tuple[int, ...]) -> bool:
        """Even without the largest the rest is more than what the cards have left, or there are too few of those."""
        sizes = [size for size, replicas in self.models[index:] for _ in range(replicas)][drops:]
        return sum(sizes) > sum(room for room in left if room >= min(sizes, default=0))

    def _choices(
        self, size: int, replicas: int, drops: int, left: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], int]]:
        fits = sorted((position for position, room in enumerate(left) if room >= size), key=lambda one: left[one])
        for count in range(min(replicas, len(fits)), max(replicas - drops, 0) - 1, -1):
            seen = set()
            for taken in itertools.combinations(fits, count):
                alike = tuple(sorted(left[position] for position in taken))
                if self.spread:
                    if len({self.hosts[position] for position in taken}) == count:
                        yield taken, replicas - count
                elif alike not in seen:
                    seen.add(alike)
                    yield taken, replicas - count


@pytest.mark.parametrize("placement", ["balance", "pack"])
def test_nearly_as_many_replicas_as_can_be(placement: str) -> None:
    found = [placed_and_optimum(seed, placement) for seed in range(FLEETS)]
    placed, optimum = map(sum, zip(*found, strict=True))
    assert placed >= 0.98 * optimum, f"{placed} of {optimum}"
