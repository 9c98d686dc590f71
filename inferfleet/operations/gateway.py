"""A host's gateway: packages, files, certificate, processes, prober, in one question and at most one command."""

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.gateway_host import GatewayHost
from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.facts.gateway import GatewayState
from inferfleet.facts.ollama import OllamaState
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.remote import compact


@converging
def service(declared: GatewayHost) -> tuple[Changes, list[StringCommand]]:
    """HAProxy and the prober run as declared; keys and certificates are taken up without a reload.

    Args:
        declared: what the gateway's host must be, with its secrets.
    """
    state = host.get_fact(GatewayState, compact(declared.question))

    def work(found: Changes) -> list[StringCommand]:
        return [told("gateway_service", found.work)]

    return decided(lambda: changes.gateway(declared, state), state, work)


@converging
def gone(asked: OllamaHost) -> tuple[Changes, list[StringCommand]]:
    """No gateway of ours runs here.

    Args:
        asked: with whose question the host is asked, so that one answer serves other operations too.
    """
    state = host.get_fact(OllamaState, compact(asked.question))

    def work(found: Changes) -> list[StringCommand]:
        return [told("gateway_gone", found.work)]

    return decided(lambda: changes.gateway_gone(state), state, work)
