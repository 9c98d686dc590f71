"""A plan as data and as text."""

from typing import Any

from inferfleet.placed import Instance
from inferfleet.plan.types import FleetPlan


def as_data(plan: FleetPlan) -> dict[str, Any]:
    """The plan as plain data for `--json`: nodes, their instances, cards, ports and models."""
    return {
        "nodes": [
            {
                "name": node.name,
                "models": [model.name for model in node.models],
                "instances": [_instance(instance) for instance in node.instances],
            }
            for node in plan.nodes
        ]
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


def rows(plan: FleetPlan) -> list[tuple[str, str, str, str, str, str]]:
    """One row for each instance: node, instance, engine, cards, address, models."""
    return [
        (
            node.name,
            instance.name,
            f"{instance.engine} {instance.settings.version}",
            ", ".join(f"{gpu.index}: {gpu.model}" for gpu in instance.gpus) or "CPU",
            instance.address,
            ", ".join(instance.models) or "-",
        )
        for node in plan.nodes
        for instance in node.instances
    ]
