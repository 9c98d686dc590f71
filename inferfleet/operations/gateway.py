"""A host's gateway: packages, files, certificate, processes, prober, in one question and at most one command."""

from collections.abc import Sequence

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.facts.gateway import GatewayState
from inferfleet.gateways import gateway_host
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.plan import GatewayPlan, NodePlan
from inferfleet.remote import compact


@converging
def service(declared: GatewayPlan, nodes: Sequence[NodePlan]) -> tuple[Changes, list[StringCommand]]:
    """HAProxy and the prober run as declared; keys and certificates are taken up without a reload.

    Args:
        declared: the gateway.
        nodes: the hosts of the fleet.

    Raises:
        FleetError: a reference to a secret leads nowhere.
    """
    found = gateway_host(declared, nodes)
    state = host.get_fact(GatewayState, compact(found.question))

    def work(all_of: Changes) -> list[StringCommand]:
        return [told("gateway_service", all_of.work)]

    return decided(lambda: changes.gateway(found, state), state, work)
