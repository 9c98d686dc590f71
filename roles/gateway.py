"""The gateway in front of the fleet."""

from collections.abc import Sequence

from pyinfra.api import deploy

from inferfleet.operations import gateway as operations
from inferfleet.operations import packages
from inferfleet.plan import GatewayPlan, NodePlan


@deploy("Gateway")
def gateway(plan: GatewayPlan, nodes: Sequence[NodePlan]) -> None:
    """One address answers for the whole fleet, over TLS, to those who have a key."""
    packages.present(name="Packages", packages=["python3"])
    operations.service(name="HAProxy and prober", declared=plan, nodes=nodes)
