"""The declared models."""

from pyinfra.api import deploy

from inferfleet.operations import ollama
from inferfleet.plan import NodePlan
from inferfleet.services import ollama_host


@deploy("Models")
def models(node: NodePlan) -> None:
    """The store holds the declared models, and the instances have them in memory."""
    ollama.models(name="Store and memory", declared=ollama_host(node), node=node)
