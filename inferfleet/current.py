"""Inside a deploy: this host's slice of the plan for the whole inventory.

`deploy.py` runs once for each host; the plan is made once, from all hosts of the inventory, also under `--limit`,
so that nothing moves when fewer hosts are touched.
"""

from weakref import WeakKeyDictionary

from pyinfra.api.inventory import Inventory
from pyinfra.context import ctx_host, ctx_inventory

from inferfleet.plan import FleetPlan, GatewayPlan, NodePlan, make_plan
from inferfleet.spec import parse_fleet

_plans: WeakKeyDictionary[Inventory, FleetPlan] = WeakKeyDictionary()


def plan_of(inventory: Inventory) -> FleetPlan:
    """The plan for an inventory, made once.

    Raises:
        SpecError: one line for each mistake in it; pyinfra then stops before it touches any host.
    """
    if inventory not in _plans:
        _plans[inventory] = make_plan(parse_fleet({host.name: host.data.dict() for host in inventory}))
    return _plans[inventory]


def my_node() -> NodePlan | None:
    """What this host must be; None where it is no node of the fleet."""
    return my_fleet().node(ctx_host.get().name)


def my_gateway() -> GatewayPlan | None:
    """What the gateway on this host must be; None where it is none."""
    return my_fleet().gateway(ctx_host.get().name)


def my_fleet() -> FleetPlan:
    """The plan of the whole inventory."""
    return plan_of(ctx_inventory.get())
