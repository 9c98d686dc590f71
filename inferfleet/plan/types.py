"""The frozen plan that roles, templates, checks and views all read."""

from dataclasses import dataclass

from inferfleet.placed import Instance, PlacedModel
from inferfleet.spec import Sources


@dataclass(frozen=True)
class NodePlan:
    """What one host runs.

    Attributes:
        name: the host.
        instances: what runs, in the order of the inventory; none when the host shall run none any more.
        models: what must be in its store, each after the one it is made from.
        sources: where its artefacts come from.
    """

    name: str
    instances: tuple[Instance, ...]
    models: tuple[PlacedModel, ...]
    sources: Sources


@dataclass(frozen=True)
class FleetPlan:
    """What the whole fleet runs, in the order of the inventory."""

    nodes: tuple[NodePlan, ...]

    def node(self, name: str) -> NodePlan | None:
        """The plan of one host; None where the host is no node of the fleet."""
        return next((node for node in self.nodes if node.name == name), None)
