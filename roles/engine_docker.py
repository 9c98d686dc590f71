"""Engines as containers under systemd units, for the instances of the plan that run in Docker."""

from pyinfra.api import deploy

from inferfleet.operations import containers
from inferfleet.plan import NodePlan


@deploy("Containers")
def engine_docker(node: NodePlan) -> None:
    """Each container runs as declared."""
    containers.services(name="Containers", declared=node)
