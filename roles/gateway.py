"""The gateway in front of the fleet."""

from collections.abc import Sequence

from pyinfra.api import deploy

from inferfleet.gateways import gateway_host
from inferfleet.operations import gateway as operations
from inferfleet.operations import packages
from inferfleet.plan import GatewayPlan, NodePlan


@deploy("Gateway")
def gateway(plan: GatewayPlan, nodes: Sequence[NodePlan]) -> None:
    """One address answers for the whole fleet, over TLS, to those who have a key.

    Secrets are read here, before any operation runs: a reference that leads nowhere ends the run in one line.
    """
    declared = gateway_host(plan, nodes)
    packages.present(name="Packages", packages=["python3"])
    operations.service(name="HAProxy and prober", declared=declared)
