"""The gateway in front of the fleet."""

from collections.abc import Sequence

from pyinfra.api import deploy

from inferfleet.gateways import gateway_host
from inferfleet.operations import gateway as operations
from inferfleet.operations import packages
from inferfleet.plan import GatewayPlan, NodePlan
from inferfleet.services import NO_OLLAMA, ollama_host


@deploy("Gateway")
def gateway(plan: GatewayPlan, nodes: Sequence[NodePlan]) -> None:
    """One address answers for the whole fleet, over TLS, to those who have a key.

    Secrets are read here, before any operation runs: a reference that leads nowhere ends the run in one line.
    """
    declared = gateway_host(plan, nodes)
    packages.present(name="Packages", packages=["python3"])
    operations.service(name="HAProxy and prober", declared=declared)


@deploy("Gateway")
def no_gateway(node: NodePlan | None) -> None:
    """A gateway of ours that was declared here once is gone."""
    operations.gone(name="Gateway no longer declared", asked=ollama_host(node) if node else NO_OLLAMA)
