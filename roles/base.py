"""What every node needs before anything else."""

from pyinfra.api import deploy

from inferfleet.operations import nvidia, packages
from inferfleet.plan import NodePlan


@deploy("Base")
def base(node: NodePlan) -> None:
    """The host has the declared cards, python3 (facts), certificates (downloads) and zstd (Ollama's archives)."""
    nvidia.cards(name="Cards", declared=[gpu for instance in node.instances for gpu in instance.gpus])
    packages.present(name="Packages", packages=["python3", "ca-certificates", "zstd"])
