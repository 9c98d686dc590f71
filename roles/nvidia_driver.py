"""The NVIDIA driver and its cards."""

from pyinfra.api import deploy

from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.operations import nvidia


@deploy("NVIDIA driver")
def nvidia_driver(declared: NvidiaHost) -> None:
    """The driver serves the declared cards, and the host has them; where it does not, this host alone ends here."""
    nvidia.driver(name="Driver", declared=declared)
    nvidia.cards(name="Cards", declared=declared.gpus)
