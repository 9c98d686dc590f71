"""The declared models."""

from pyinfra.api import deploy

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.operations import ollama


@deploy("Models")
def models(declared: OllamaHost) -> None:
    """The store holds the declared models, and the instances have them in memory."""
    ollama.models(name="Store and memory", declared=declared)
