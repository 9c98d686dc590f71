"""Inside a deploy: this host's slice of the plan for the whole inventory.

`deploy.py` runs once for each host; the plan is made once, from all hosts of the inventory, also under `--limit`,
so that nothing moves when fewer hosts are touched.
"""

from weakref import WeakKeyDictionary

from pyinfra.api.inventory import Inventory
from pyinfra.context import ctx_host, ctx_inventory

from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.plan import FleetPlan, make_plan
from inferfleet.services import ollama_host
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


def my_ollama() -> OllamaHost | None:
    """What this host's Ollama must be; None where the host is no node of the fleet."""
    node = plan_of(ctx_inventory.get()).node(ctx_host.get().name)
    return ollama_host(node) if node else None


def my_nvidia() -> NvidiaHost | None:
    """What this host's NVIDIA driver must be and which cards it must show; None where it is no node of the fleet."""
    node = plan_of(ctx_inventory.get()).node(ctx_host.get().name)
    if node is None:
        return None
    return NvidiaHost(
        gpus=node.gpus,
        engines=tuple(sorted({instance.engine for instance in node.instances})),
        manage=node.driver.manage,
        branch=node.driver.branch,
        modules=node.driver.modules,
        source=node.sources.nvidia_driver,
        fingerprint=node.sources.nvidia_driver_fingerprint,
    )
