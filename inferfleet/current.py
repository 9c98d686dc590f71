"""Inside a deploy: this host's slice of the plan for the whole inventory.

`deploy.py` runs once for each host; the plan is made once, from all hosts of the inventory, also under `--limit`,
so that nothing moves when fewer hosts are touched.
"""

import sys
from pathlib import Path
from weakref import WeakKeyDictionary

from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_inventory

from inferfleet.errors import SpecError
from inferfleet.plan import FleetPlan, GatewayPlan, NodePlan, make_plan
from inferfleet.spec import parse_fleet

_plans: WeakKeyDictionary[Inventory, FleetPlan | SpecError] = WeakKeyDictionary()


def plan_of(inventory: Inventory) -> FleetPlan:
    """The plan for an inventory, made once.

    Raises:
        SpecError: one line for each mistake in it; pyinfra then stops before it touches any host.
    """
    if inventory not in _plans:
        try:
            _plans[inventory] = make_plan(parse_fleet({host.name: host.data.dict() for host in inventory}))
        except SpecError as error:
            _plans[inventory] = error
    found = _plans[inventory]
    if isinstance(found, SpecError):
        raise found
    return found


def check_before_connecting(state: State) -> None:
    """A run of `deploy.py` ends here where its inventory cannot be: no host has been contacted.

    pyinfra (3.10) connects to all hosts before it reads `deploy.py`. Other commands, such as `exec`, go on, and so
    does another project's `deploy.py`, whose hosts have neither cards nor instances.

    Raises:
        SpecError: one line for each mistake.
    """
    is_ours = any(key in host.data.dict() for host in state.inventory for key in ("gpus", "instances"))
    if is_ours and any(Path(word).name == "deploy.py" for word in sys.argv[1:]):
        plan_of(state.inventory)


def my_node() -> NodePlan | None:
    """What this host must be; None where it is no node of the fleet."""
    return my_fleet().node(ctx_host.get().name)


def my_gateway() -> GatewayPlan | None:
    """What the gateway on this host must be; None where it is none."""
    return my_fleet().gateway(ctx_host.get().name)


def my_fleet() -> FleetPlan:
    """The plan of the whole inventory."""
    return plan_of(ctx_inventory.get())
