"""What every node needs before anything else."""

from pyinfra.api import deploy

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.operations import packages


@deploy("Base")
def base(declared: OllamaHost) -> None:
    """The host has python3 (facts), certificates (downloads) and zstd (Ollama's archives)."""
    packages.present(name="Packages", packages=["python3", "ca-certificates", "zstd"])
