"""Docker on nodes that run containers."""

from pyinfra.api import deploy

from inferfleet.declared import docker_host
from inferfleet.operations import docker as operations
from inferfleet.plan import NodePlan


@deploy("Docker")
def docker(node: NodePlan) -> None:
    """Docker is as declared, and what it publishes is closed to other hosts but for what is declared."""
    operations.engine(name="Engine, settings and firewall", declared=docker_host(node))
