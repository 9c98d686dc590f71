"""A host's Ollama: account, release, services, models. All four share one question to the host."""

from collections.abc import Callable
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.facts.ollama import OllamaState
from inferfleet.operations import containers
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.plan import NodePlan
from inferfleet.remote import compact

Decision = tuple[Changes, list[StringCommand]]


def _decide(compare: Callable[[OllamaHost, dict[str, Any]], Changes], declared: OllamaHost, tool: str) -> Decision:
    state = host.get_fact(OllamaState, compact(declared.question))

    def work(found: Changes) -> list[StringCommand]:
        return [told(tool, found.work)]

    return decided(lambda: compare(declared, state), state, work)


@converging
def account(declared: OllamaHost) -> Decision:
    """The user `ollama` exists and owns its home and the store."""
    return _decide(changes.account, declared, "ollama_account")


@converging
def release(declared: OllamaHost) -> Decision:
    """The declared release is unpacked, checked and live; the one before it is kept."""
    return _decide(changes.release, declared, "ollama_release")


@converging
def containers_gone(declared: OllamaHost) -> Decision:
    """No container of ours is there that is not declared; what was one and is to be a service can then start."""
    return _decide(changes.containers_gone, declared, "container_units")


@converging
def services(declared: OllamaHost) -> Decision:
    """Every instance runs as declared and is enabled; only an instance that differs is restarted."""
    return _decide(changes.services, declared, "ollama_services")


@converging
def models(declared: OllamaHost, node: NodePlan) -> Decision:
    """Every declared model is in the store and in memory; what we brought and is declared no longer is gone."""

    def compare(declared: OllamaHost, state: dict[str, Any]) -> Changes:
        return changes.models(declared, state, containers.restarts(node))

    return _decide(compare, declared, "ollama_models")
