"""A plan as data and as rows of text."""

from typing import Any

from inferfleet.placed import Instance, Server
from inferfleet.plan.gateway import GatewayPlan
from inferfleet.plan.types import FleetPlan, NodePlan
from inferfleet.plan.views.data import capacity_data
from inferfleet.plan.views.names import in_short

Row = tuple[str, str, str, str, str, str]
TITLES: Row = ("host", "instance", "engine", "cards", "address", "models")


def as_data(plan: FleetPlan) -> dict[str, Any]:
    """The plan as plain data for `--json`: nodes, their instances, cards, ports and models; then its capacity."""
    return {
        "nodes": [
            {
                "name": node.name,
                "models": [model.name for model in node.models],
                "instances": [_instance(instance) for instance in node.instances],
            }
            for node in plan.nodes
        ],
        "servers": [_server(server) for server in plan.servers],
        "gateways": [_gateway(gateway) for gateway in plan.gateways],
        "differences": list(plan.differences),
        "capacity": capacity_data(plan.capacity),
    }


def _gateway(gateway: GatewayPlan) -> dict[str, Any]:
    """Names and places alone: not even where its secrets are."""
    return {
        "node": gateway.node,
        "listen": gateway.settings.listen,
        "port": gateway.settings.port,
        "models": [
            {
                "name": backend.model,
                "aliases": list(backend.aliases),
                "slots": backend.slots,
                "upstreams": [{"name": one.name, "address": one.place} for one in backend.upstreams],
            }
            for backend in gateway.backends
        ],
        "chains": [{"name": chain.name, "tiers": [tier.name for tier in chain.tiers]} for chain in gateway.chains],
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "engine": instance.engine,
        "version": instance.settings.version,
        "address": instance.address,
        "gpus": [{"index": gpu.index, "model": gpu.model, "uuid": gpu.uuid} for gpu in instance.gpus],
        "models": list(instance.models),
    }


def _server(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "engine": server.engine,
        "version": server.version,
        "model": server.model,
        "address": server.address,
        "gpus": [
            {"node": node, "index": gpu.index, "model": gpu.model, "uuid": gpu.uuid}
            for node, gpus in server.parts
            for gpu in gpus
        ],
        "flags": dict(server.flags),
    }


def rows(plan: FleetPlan) -> list[Row]:
    """One row for each instance: node, instance, engine, cards, address, models; then the servers, planned only."""
    return [row for node in plan.nodes for row in _rows(node.name, node)] + _server_rows(plan)


def folded_rows(plan: FleetPlan) -> list[Row]:
    """The same rows, those of nodes that run the same written once, for all of these nodes."""
    alike: dict[object, list[NodePlan]] = {}
    for node in plan.nodes:
        alike.setdefault(tuple(_rows("", node)), []).append(node)
    rows = [row for nodes in alike.values() for row in _rows(in_short([node.name for node in nodes]), nodes[0])]
    return rows + _server_rows(plan)


def _server_rows(plan: FleetPlan) -> list[Row]:
    return [
        (
            " + ".join(node for node, _ in server.parts),
            server.name,
            f"{server.engine} {server.version} (planned only)",
            " + ".join(", ".join(f"{gpu.index}: {gpu.model}" for gpu in gpus) for _, gpus in server.parts),
            server.address,
            server.model,
        )
        for server in plan.servers
    ]


def _rows(name: str, node: NodePlan) -> list[Row]:
    return [
        (
            name,
            instance.name,
            f"{instance.engine} {instance.settings.version}",
            ", ".join(f"{gpu.index}: {gpu.model}" for gpu in instance.gpus) or "CPU",
            instance.address,
            ", ".join(instance.models) or "-",
        )
        for instance in node.instances
    ]
