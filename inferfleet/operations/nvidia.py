"""NVIDIA cards and their driver. The operations ask the same question, which is sent once."""

from collections.abc import Callable, Sequence
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes, Effect
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.facts.gpus import GpuState
from inferfleet.operations.effects import converging, refusals
from inferfleet.placed import PlacedGpu
from inferfleet.plan import NodePlan

Decision = tuple[Changes, list[StringCommand]]


@converging
def driver(declared: NodePlan) -> Decision:
    """The host's NVIDIA driver runs and can serve; a host whose driver cannot fails alone, with what to do."""
    wanted = nvidia_host(declared)
    if not wanted.cards:
        return Changes(), []
    found = _decided(lambda state: changes.driver(wanted, state))
    return found, refusals(found)


@converging
def cards(declared: Sequence[PlacedGpu]) -> Decision:
    """The host has the cards that are declared, and they are well; one that has not fails alone."""
    if all(gpu.backend != "cuda" for gpu in declared):
        return Changes(), []
    found = _decided(lambda state: changes.cards(declared, state))
    return found, refusals(found)


def found_cards(declared: Sequence[PlacedGpu]) -> tuple[PlacedGpu, ...]:
    """The declared cards with the UUIDs that the host says they have, as far as it could be asked."""
    if all(gpu.uuid or gpu.backend != "cuda" for gpu in declared):
        return tuple(declared)
    return changes.with_uuids(declared, host.get_fact(GpuState))


def nvidia_host(node: NodePlan) -> NvidiaHost:
    """What a node's driver must be."""
    return NvidiaHost(
        gpus=node.gpus,
        engines=tuple(sorted({instance.engine for instance in node.instances})),
        manage=node.driver.manage,
        branch=node.driver.branch,
        modules=node.driver.modules,
        source=node.sources.nvidia_driver,
        fingerprint=node.sources.nvidia_driver_fingerprint,
    )


def _decided(compare: Callable[[dict[str, Any]], Changes]) -> Changes:
    """The outcome; an answer of a shape nobody thought of is one host's matter, and must not stop the others."""
    try:
        return compare(host.get_fact(GpuState))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = f"its answer about cards cannot be understood ({type(error).__name__}: {error}); please report this"
        return Changes((Effect("refuse", "this host", why),))
