"""NVIDIA cards and their driver. Both operations ask the same question, which is sent once."""

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

Decision = tuple[Changes, list[StringCommand]]


def _decided(compare: Callable[[dict[str, Any]], Changes]) -> Changes:
    """The outcome; an answer of a shape nobody thought of is one host's matter, and must not stop the others."""
    try:
        return compare(host.get_fact(GpuState))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        why = f"its answer about cards cannot be understood ({type(error).__name__}: {error}); please report this"
        return Changes((Effect("refuse", "this host", why),))


@converging
def driver(declared: NvidiaHost) -> Decision:
    """The host's NVIDIA driver runs and can serve; a host whose driver cannot fails alone, with what to do."""
    if not declared.cards:
        return Changes(), []
    found = _decided(lambda state: changes.driver(declared, state))
    return found, refusals(found)


@converging
def cards(declared: Sequence[PlacedGpu]) -> Decision:
    """The host has the cards that are declared, and they are well; one that has not fails alone."""
    if all(gpu.backend != "cuda" for gpu in declared):
        return Changes(), []
    found = _decided(lambda state: changes.cards(declared, state))
    return found, refusals(found)
