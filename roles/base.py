"""What every node needs before anything else."""

from pyinfra.api import deploy

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.operations import nvidia, packages


@deploy("Base")
def base(declared: OllamaHost) -> None:
    """The host has the declared cards, python3 (facts), certificates (downloads) and zstd (Ollama's archives)."""
    nvidia.cards(name="Cards", declared=declared.gpus)
    packages.present(name="Packages", packages=["python3", "ca-certificates", "zstd"])
