"""NVIDIA's Container Toolkit: containers are given cards by name, and by nothing else."""

from pyinfra.api import deploy

from inferfleet.operations import toolkit
from inferfleet.plan import NodePlan


@deploy("NVIDIA toolkit")
def nvidia_toolkit(node: NodePlan) -> None:
    """The packages are pinned and held, and the CDI specification names the cards that are there, so that Docker can
    give each container exactly its own. Docker's default runtime stays as it is.
    """
    toolkit.present(name=f"Toolkit {node.toolkit.version}", declared=node)
