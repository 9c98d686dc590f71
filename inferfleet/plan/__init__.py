"""From a fleet to a plan: which instance runs where, on which cards and port, with which models. Pure."""

from collections.abc import Iterable, Mapping

from inferfleet.errors import SpecError
from inferfleet.placed import Instance, PlacedModel
from inferfleet.plan.place import cards_of, instances_of, placed_models
from inferfleet.plan.types import FleetPlan, NodePlan
from inferfleet.spec import Fleet, FleetNode, Model, tagged

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
    by_tag = {tagged(name): name for name in specs}
    nodes = []
    for node in fleet.nodes:
        instances = placed[node.name]
        names = dict.fromkeys(name for instance in instances for name in instance.models)
        models = tuple(PlacedModel(name, specs[name]) for name in _with_sources(names, specs, by_tag))
        nodes.append(_node_plan(node, instances, models))
    return FleetPlan(tuple(nodes))


def _node_plan(node: FleetNode, instances: tuple[Instance, ...], models: tuple[PlacedModel, ...]) -> NodePlan:
    return NodePlan(node.name, instances, models, cards_of(node), node.sources, node.docker, node.driver, node.toolkit)


def _with_sources(names: Iterable[str], specs: Mapping[str, Model], by_tag: Mapping[str, str]) -> list[str]:
    """These models and the declared ones that they are made from, each after its source."""
    found: dict[str, None] = {}
    for name in names:
        chain = [name]
        while (source := by_tag.get(specs[chain[-1]].source_name or "")) and source not in chain:
            chain.append(source)
        found.update(dict.fromkeys(reversed(chain)))
    return list(found)
