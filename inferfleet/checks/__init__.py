"""What must hold on the hosts, from the same plan that the roles follow: `fleet_checks(plan) -> checks`.

A check never reads a template or a unit file to learn what to expect. A model more in the inventory is a check more
here, and so a test more in pytest, without a line of test code.
"""

from collections.abc import Iterator
from functools import partial

from inferfleet.checks import containers, gpus
from inferfleet.checks.base import Check, Target
from inferfleet.checks.gateway import of_gateway
from inferfleet.checks.models import answers, in_store
from inferfleet.checks.services import (
    has_version,
    is_running,
    listens_narrowly,
    nothing_else,
    started_as_declared,
)
from inferfleet.engines.ollama_host import OllamaHost, Service
from inferfleet.placed import Instance
from inferfleet.plan import FleetPlan, NodePlan
from inferfleet.services import ollama_host
from inferfleet.spec import tagged

__all__ = ["Check", "Target", "fleet_checks"]


def fleet_checks(plan: FleetPlan) -> tuple[Check, ...]:
    """Every check of the fleet, host by host in the order of the inventory, and then of the gateways."""
    nodes = (check for node in plan.nodes for check in _of_node(node, ollama_host(node)))
    return (*nodes, *(check for gateway in plan.gateways for check in of_gateway(gateway)))


def _of_node(node: NodePlan, host: OllamaHost) -> Iterator[Check]:
    services = {service.name: service for service in host.services}
    if node.has_nvidia:
        yield Check(node.name, "has its NVIDIA cards, well, under a driver that serves", partial(gpus.are_well, node))
    for instance, server in zip(node.instances, host.servers, strict=True):
        service = services.get(instance.name)
        yield from _of_service(instance, service) if service else _of_container(instance)
        version = instance.settings.version
        yield Check(node.name, f"{instance.name} is Ollama {version}", partial(has_version, server, version))
        where = f"{instance.name} listens on {instance.address} and nothing wider"
        yield Check(node.name, where, partial(listens_narrowly, instance.settings.host, instance.port))
    for entry in host.store:
        yield Check(node.name, f"{entry.name} is in the store, whole", partial(in_store, entry))
    for model in node.models:
        for instance, server in zip(node.instances, host.servers, strict=True):
            if model.name in instance.models:
                says = f"{instance.name} answers as {model.name} from {instance.processor}"
                wrong = partial(answers, server.address, tagged(model.name), model.spec.expect, bool(instance.gpus))
                yield Check(node.name, says, wrong)
    for instance, server in zip(node.instances, host.servers, strict=True):
        if instance.models and any(card.backend == "cuda" for card in instance.gpus):
            says = f"{instance.name} computes on {_cards(instance)} and no other, by NVML"
            wrong = partial(gpus.computes_on_its_cards, instance, server.address, tagged(instance.models[0]))
            yield Check(node.name, says, wrong)
    yield Check(node.name, "runs no instance of ours beyond these", partial(nothing_else, host))


def _of_service(instance: Instance, service: Service) -> Iterator[Check]:
    node, name = instance.node, instance.name
    yield Check(node, f"{name} is running and enabled", partial(is_running, service))
    yield Check(node, f"{name} was started as declared", partial(started_as_declared, service))


def _of_container(instance: Instance) -> Iterator[Check]:
    node, name = instance.node, instance.name
    yield Check(node, f"{name} is running and enabled", partial(containers.is_running, name))
    yield Check(node, f"{name} was started as declared", partial(containers.started_as_declared, name))
    sees = f"{name} sees {_cards(instance) if instance.gpus else 'no card'}" + " and no other" * bool(instance.gpus)
    yield Check(node, sees, partial(gpus.sees_its_cards, instance))


def _cards(instance: Instance) -> str:
    names = [card.uuid or f"card {card.index}" for card in instance.gpus]
    return " and ".join(names)
