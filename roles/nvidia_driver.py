"""The NVIDIA driver and its cards."""

from pyinfra.api import deploy

from inferfleet.operations import nvidia, packages
from inferfleet.plan import NodePlan


@deploy("NVIDIA driver")
def nvidia_driver(node: NodePlan) -> None:
    """The driver serves the declared cards, and the host has them; where it does not, this host alone ends here."""
    if node.driver.manage:
        packages.present(name="Packages of the driver", packages=["python3", "ca-certificates"])
    nvidia.driver(name="Driver", declared=node)
    nvidia.cards(name="Cards", declared=node.gpus)
