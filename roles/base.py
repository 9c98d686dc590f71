"""What every node needs before anything else."""

from pyinfra.api import deploy

from inferfleet.operations import packages
from inferfleet.plan import NodePlan


@deploy("Base")
def base(node: NodePlan) -> None:
    """The host has python3 (facts), certificates (downloads) and zstd (Ollama's archives)."""
    packages.present(name="Packages", packages=["python3", "ca-certificates", "zstd"])
