"""Ollama as systemd services, for the instances of the plan that run natively; what containers need of it too."""

from pyinfra.api import deploy

from inferfleet.operations import ollama
from inferfleet.plan import NodePlan
from inferfleet.services import ollama_host


@deploy("Ollama")
def engine_native(node: NodePlan) -> None:
    """The account, the pinned release and the services are as declared; what is no longer declared is gone."""
    declared = ollama_host(node)
    ollama.account(name="Account and store", declared=declared)
    ollama.containers_gone(name="Containers no longer declared", declared=declared)
    if declared.services:
        ollama.release(name=f"Release {declared.version}", declared=declared)
    ollama.services(name="Services", declared=declared)


@deploy("Ollama")
def no_engine(node: NodePlan) -> None:
    """Services and containers of ours that were declared once are gone; releases, images and models stay."""
    declared = ollama_host(node)
    ollama.containers_gone(name="Containers no longer declared", declared=declared)
    ollama.services(name="Services", declared=declared)
