"""Engines as containers under systemd units, for the instances of the plan that run in Docker."""

from pyinfra.api import deploy

from inferfleet.operations import containers, images
from inferfleet.plan import NodePlan


@deploy("Containers")
def engine_docker(node: NodePlan) -> None:
    """Their images are on the host, each container runs as declared, and images that only we needed are gone."""
    images.present(name="Images", declared=node)
    containers.services(name="Containers", declared=node)
    images.pruned(name="Images no longer used", declared=node)
