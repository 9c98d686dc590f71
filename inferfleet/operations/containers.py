"""A host's containers: each runs as declared."""

from collections.abc import Sequence
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.containers import containers_of, question, staying
from inferfleet.engines.container_host import Container
from inferfleet.facts.containers import ContainerState
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.operations.nvidia import found_cards
from inferfleet.plan import NodePlan
from inferfleet.remote import compact


@converging
def services(declared: NodePlan) -> tuple[Changes, list[StringCommand]]:
    """Every container runs as declared under its unit; only one that differs is made anew."""
    made, state = _asked(declared)

    def work(found: Changes) -> list[StringCommand]:
        return [told("container_units", dict(found.work, stay=staying(declared)))]

    return decided(lambda: changes.containers(made, state), state, work)


def restarts(declared: NodePlan) -> list[str]:
    """The containers that `services` would start anew now; to be asked in an operation."""
    made, state = _asked(declared)
    return [name for name, *_ in changes.containers(made, state).work.get("restart", [])]


def _asked(declared: NodePlan) -> tuple[Sequence[Container], dict[str, Any]]:
    made = containers_of(declared, found_cards(declared.gpus))
    return made, host.get_fact(ContainerState, compact(question(declared))) if made else {}
