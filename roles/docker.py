"""Docker on nodes that run containers."""

from pyinfra.api import deploy

from inferfleet.engines.docker_host import DockerHost
from inferfleet.operations import docker as operations


@deploy("Docker")
def docker(declared: DockerHost) -> None:
    """Docker is as declared, and what it publishes is closed to other hosts but for what is declared."""
    operations.engine(name="Engine, settings and firewall", declared=declared)
