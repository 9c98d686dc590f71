"""From a fleet to a plan: which instance runs where, on which cards and port, with which models. Pure."""

from inferfleet.errors import SpecError
from inferfleet.placed import Instance, PlacedModel
from inferfleet.plan.place import instances_of, placed_models
from inferfleet.plan.types import FleetPlan, NodePlan
from inferfleet.spec import Fleet

__all__ = ["FleetPlan", "Instance", "NodePlan", "PlacedModel", "make_plan"]


def make_plan(fleet: Fleet) -> FleetPlan:
    """Place every declared model; the same fleet gives the same plan.

    Raises:
        SpecError: with one line for each model that cannot be placed, or each clash of names or ports.
    """
    mistakes: list[str] = []
    bare = {node.name: instances_of(node, mistakes) for node in fleet.nodes}
    placed = placed_models(bare, fleet.models, mistakes)
    if mistakes:
        raise SpecError(mistakes)
    specs = dict(fleet.models)
    nodes = []
    for node in fleet.nodes:
        instances = placed[node.name]
        names = dict.fromkeys(name for instance in instances for name in instance.models)
        models = tuple(PlacedModel(name, specs[name]) for name in names)
        nodes.append(NodePlan(node.name, instances, models, node.sources))
    return FleetPlan(tuple(nodes))
