"""Images of containers: those that are declared are there, and those that only we needed go again."""

from collections.abc import Callable, Sequence
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.containers import image_of, question
from inferfleet.engines.image import Image
from inferfleet.facts.containers import ContainerState
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.plan import NodePlan
from inferfleet.remote import compact


@converging
def present(declared: NodePlan) -> tuple[Changes, list[StringCommand]]:
    """Every image that the node's containers are made from is on the host; comes before them."""
    return _decide(declared, changes.images)


@converging
def pruned(declared: NodePlan) -> tuple[Changes, list[StringCommand]]:
    """Images that we brought and no container needs any longer are gone; comes when the containers are as declared."""
    return _decide(declared, changes.unused_images)


def _decide(
    declared: NodePlan, compare: Callable[[Sequence[Image], dict[str, Any]], Changes]
) -> tuple[Changes, list[StringCommand]]:
    images = [image_of(declared, one) for one in declared.instances if one.runtime == "docker"]
    state = host.get_fact(ContainerState, compact(question(declared)))

    def work(found: Changes) -> list[StringCommand]:
        orders = dict(found.work, proxy=declared.proxy)
        return [told("docker_images", orders)]

    return decided(lambda: compare(images, state.get("images", {})), state, work)
