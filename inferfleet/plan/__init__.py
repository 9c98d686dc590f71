"""From a fleet to a plan: which instance runs where, on which cards and port, with which models. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from inferfleet.calibration import Measurement
from inferfleet.errors import SpecError
from inferfleet.placed import Instance, PlacedModel
from inferfleet.plan.aliases import with_aliases
from inferfleet.plan.draft import draft
from inferfleet.plan.gateway import GatewayPlan, gateways_of
from inferfleet.plan.listen import listening
from inferfleet.plan.place import cards_of
from inferfleet.plan.types import FleetPlan, NodePlan
from inferfleet.spec import Fleet, FleetNode, Model, tagged

__all__ = ["FleetPlan", "GatewayPlan", "Instance", "NodePlan", "PlacedModel", "make_plan", "plan_or_refuse"]


def make_plan(fleet: Fleet) -> FleetPlan:
    """Place every declared model; the same fleet gives the same plan.

    Raises:
        SpecError: with one line for each model that cannot be placed or set up, or each clash of names or ports.
    """
    plan = plan_or_refuse(fleet)
    wrong = [refusal.line for refusal in plan.capacity.refusals]
    wrong += [
        f"models.{name}: {model.engine} is planned, and not set up by this version; serve it with ollama, or remove it"
        for name, model in fleet.models
        if model.engine != "ollama"
    ]
    if len(plan.gateways) > 1:
        both = " and ".join(gateway.node for gateway in plan.gateways[:2])
        wrong.append(
            f"gateway: {both} have no address that moves between them, and this version sets none up; keep one of them"
        )
    if wrong:
        raise SpecError(wrong)
    return plan


def plan_or_refuse(fleet: Fleet, measured: Sequence[Measurement] = ()) -> FleetPlan:
    """Place what can be placed; what cannot is in `capacity.refusals`.

    Args:
        fleet: what is declared.
        measured: what models took of cards, to be shown beside what is estimated; nothing is placed by it.

    Raises:
        SpecError: with one line for each mistake for which nothing at all could be placed.
    """
    fleet, unreachable = listening(fleet)
    drafted = draft(fleet, measured)
    gateways, taken = gateways_of(fleet, drafted.instances)
    if mistakes := (*drafted.mistakes, *unreachable, *taken):
        raise SpecError(mistakes)
    specs = dict(fleet.models)
    by_tag = {tagged(name): name for name in specs}
    nodes = []
    for node in fleet.nodes:
        instances = drafted.instances[node.name]
        names = dict.fromkeys(name for instance in instances for name in instance.models)
        models = [PlacedModel(name, specs[name]) for name in _with_sources(names, specs, by_tag)]
        copies = tuple(copy for model in models for copy in with_aliases(model))
        others = tuple(one.address for one in fleet.gateways if one.name != node.name and one.address)
        nodes.append(_node_plan(node, instances, copies, others))
    return FleetPlan(tuple(nodes), drafted.servers, capacity=drafted.capacity, gateways=gateways)


def _node_plan(
    node: FleetNode, instances: tuple[Instance, ...], models: tuple[PlacedModel, ...], gateways: tuple[str, ...]
) -> NodePlan:
    return NodePlan(
        name=node.name,
        instances=instances,
        models=models,
        gpus=cards_of(node),
        sources=node.sources,
        docker=node.docker,
        driver=node.driver,
        toolkit=node.toolkit,
        address=node.node.address,
        gateways=gateways,
    )


def _with_sources(names: Iterable[str], specs: Mapping[str, Model], by_tag: Mapping[str, str]) -> list[str]:
    """These models and the declared ones that they are made from, each after its source."""
    found: dict[str, None] = {}
    for name in names:
        chain = [name]
        while (source := by_tag.get(specs[chain[-1]].source_name or "")) and source not in chain:
            chain.append(source)
        found.update(dict.fromkeys(reversed(chain)))
    return list(found)
