"""NVIDIA's Container Toolkit on a host."""

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.declared import toolkit_host
from inferfleet.facts.toolkit import ToolkitState
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.operations.nvidia import found_cards
from inferfleet.plan import NodePlan
from inferfleet.remote import compact


@converging
def present(declared: NodePlan) -> tuple[Changes, list[StringCommand]]:
    """The four packages are at the declared version and held, and Docker can give containers the cards that are there.

    The CDI specification is written anew where it differs from what `nvidia-ctk` says now: after a card, its slices
    (MIG) or the driver changed.
    """
    wanted = toolkit_host(declared, found_cards(declared.gpus))
    if not wanted.devices:
        return Changes(), []
    state = host.get_fact(ToolkitState, compact(wanted.question))

    def work(found: Changes) -> list[StringCommand]:
        return [told("nvidia_toolkit", found.work)]

    return decided(lambda: changes.toolkit(wanted, state), state, work)
