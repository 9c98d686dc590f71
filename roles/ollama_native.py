"""Ollama as systemd services, one for each instance of the plan."""

from pyinfra.api import deploy

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.operations import ollama


@deploy("Ollama")
def ollama_native(declared: OllamaHost) -> None:
    """The account, the pinned release and the services are as declared; services no longer declared are gone."""
    ollama.account(name="Account and store", declared=declared)
    ollama.release(name=f"Release {declared.version}", declared=declared)
    ollama.services(name="Services", declared=declared)


@deploy("Ollama")
def no_ollama(declared: OllamaHost) -> None:
    """Services of ours that were declared once are gone; releases and models stay where they are."""
    ollama.services(name="Services", declared=declared)
