"""NVIDIA's Container Toolkit: containers are given cards by name, and by nothing else."""

from pyinfra.api import deploy

from inferfleet.engines.toolkit_host import ToolkitHost
from inferfleet.operations import toolkit


@deploy("NVIDIA toolkit")
def nvidia_toolkit(declared: ToolkitHost) -> None:
    """The packages are pinned and held, and the CDI specification names the cards that are there, so that Docker can
    give each container exactly its own. Docker's default runtime stays as it is.
    """
    toolkit.present(name=f"Toolkit {declared.version}", declared=declared)
