"""NVIDIA cards."""

from collections.abc import Sequence
from dataclasses import replace

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.facts.nvidia import NvidiaCards
from inferfleet.operations.effects import converging, refusals
from inferfleet.placed import PlacedGpu


@converging
def cards(declared: Sequence[PlacedGpu]) -> tuple[Changes, list[StringCommand]]:
    """The host has the cards that are declared; one that has not fails alone, before anything is done to it."""
    if all(gpu.backend != "cuda" for gpu in declared):
        return Changes(), []
    found = changes.cards(declared, host.get_fact(NvidiaCards))
    return found, refusals(found)


def found_cards(declared: Sequence[PlacedGpu]) -> tuple[PlacedGpu, ...]:
    """The declared cards with the UUIDs that the host says they have, as far as it could be asked."""
    if all(gpu.uuid or gpu.backend != "cuda" for gpu in declared):
        return tuple(declared)
    by_index = {card["index"]: card["uuid"] for card in host.get_fact(NvidiaCards) or ()}
    return tuple(replace(g, uuid=g.uuid or by_index.get(g.index)) if g.backend == "cuda" else g for g in declared)
