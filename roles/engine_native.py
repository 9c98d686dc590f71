"""Ollama as systemd services, for the instances of the plan that run natively."""

from pyinfra.api import deploy

from inferfleet.operations import ollama
from inferfleet.plan import NodePlan
from inferfleet.services import ollama_host


@deploy("Ollama")
def engine_native(node: NodePlan) -> None:
    """The services are as declared; services and containers that are no longer declared are gone."""
    declared = ollama_host(node)
    ollama.containers_gone(name="Containers no longer declared", declared=declared)
    ollama.services(name="Services", declared=declared)


@deploy("Ollama")
def no_engine(node: NodePlan) -> None:
    """Services and containers of ours that were declared once are gone; releases, images and models stay."""
    declared = ollama_host(node)
    ollama.containers_gone(name="Containers no longer declared", declared=declared)
    ollama.services(name="Services", declared=declared)
