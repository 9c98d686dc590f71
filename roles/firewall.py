"""The firewall of nodes whose instances listen for gateways on other hosts."""

from pyinfra.api import deploy

from inferfleet.declared import closed
from inferfleet.operations import firewall as operations
from inferfleet.plan import NodePlan


@deploy("Firewall")
def firewall(node: NodePlan) -> None:
    """Instances are reached by gateways alone; on nodes with containers, Docker's role sees to it."""
    declared = closed(node)
    if declared:
        operations.closed(name="Instances are for gateways alone", declared=declared)
