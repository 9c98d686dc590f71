"""NVIDIA cards and their driver. The operations ask the same question, which is sent once."""

from collections.abc import Sequence

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.declared import nvidia_host
from inferfleet.facts.gpus import GpuState, NvidiaSource
from inferfleet.operations.effects import converging, decided, refusals
from inferfleet.operations.live import told
from inferfleet.placed import PlacedGpu
from inferfleet.plan import NodePlan
from inferfleet.remote import compact

Decision = tuple[Changes, list[StringCommand]]


@converging
def driver(declared: NodePlan) -> Decision:
    """The host's NVIDIA driver runs and can serve; where it is managed, it is NVIDIA's, of the branch, and held.

    A host whose driver cannot serve fails alone, with what to do. Nothing is rebooted.
    """
    wanted = nvidia_host(declared)
    if not wanted.cards:
        return Changes(), []
    state = host.get_fact(GpuState)

    def compare() -> Changes:
        if not wanted.manage:
            return changes.driver(wanted, state)
        source = changes.source_of(wanted, state)
        return changes.managed_driver(wanted, state, host.get_fact(NvidiaSource, compact(source)) if source else {})

    def work(found: Changes) -> list[StringCommand]:
        return [told("nvidia_driver", found.work)]

    return decided(compare, state, work)


@converging
def cards(declared: Sequence[PlacedGpu]) -> Decision:
    """The host has the cards that are declared, and they are well; one that has not fails alone."""
    if all(gpu.backend != "cuda" for gpu in declared):
        return Changes(), []
    state = host.get_fact(GpuState)
    return decided(lambda: changes.cards(declared, state), state, refusals)


def found_cards(declared: Sequence[PlacedGpu]) -> tuple[PlacedGpu, ...]:
    """The declared cards with the UUIDs that the host says they have, as far as it could be asked."""
    if all(gpu.uuid or gpu.backend != "cuda" for gpu in declared):
        return tuple(declared)
    return changes.with_uuids(declared, host.get_fact(GpuState))
