"""The frozen plan that roles, templates, checks and views all read."""

from dataclasses import dataclass, field

from inferfleet.placed import Instance, PlacedGpu, PlacedModel, Server
from inferfleet.plan.capacity import Capacity
from inferfleet.plan.gateway import GatewayPlan
from inferfleet.spec import Docker, Driver, Sources, Toolkit


@dataclass(frozen=True)
class NodePlan:
    """What one host runs.

    Attributes:
        name: the host.
        instances: what runs, in the order of the inventory; none when the host shall run none any more.
        models: what must be in its store, each after the one it is made from.
        gpus: all of its cards, also those on which nothing runs.
        sources: where its artefacts come from.
        docker: its Docker, where it runs containers.
        driver: its NVIDIA driver, where it has NVIDIA cards.
        toolkit: its NVIDIA Container Toolkit, where containers get cards.
        address: at which gateways on other hosts reach its instances.
        gateways: addresses of gateways on other hosts, which alone may reach what listens there.
    """

    name: str
    instances: tuple[Instance, ...]
    models: tuple[PlacedModel, ...]
    gpus: tuple[PlacedGpu, ...]
    sources: Sources
    docker: Docker
    driver: Driver
    toolkit: Toolkit
    address: str | None = None
    gateways: tuple[str, ...] = ()

    @property
    def proxy(self) -> dict[str, str]:
        """The proxy that its engines' environment names, for what the host fetches itself."""
        found = [item for instance in self.instances for item in instance.settings.environment.items()]
        return {name: value for name, value in found if name.upper() in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")}

    @property
    def has_nvidia(self) -> bool:
        """Whether any of its cards is NVIDIA's."""
        return any(gpu.backend == "cuda" for gpu in self.gpus)

    @property
    def runs_containers(self) -> bool:
        """Whether any instance is a container."""
        return any(instance.runtime == "docker" for instance in self.instances)


@dataclass(frozen=True)
class FleetPlan:
    """What the whole fleet runs, in the order of the inventory, and what it takes of the cards.

    Attributes:
        nodes: what each host runs.
        servers: replicas with an engine of their own.
        differences: what a what-if question changes, a line for each model.
        capacity: what all of it takes.
        gateways: what stands in front of it.
    """

    nodes: tuple[NodePlan, ...]
    servers: tuple[Server, ...] = ()
    differences: tuple[str, ...] = ()
    capacity: Capacity = field(default_factory=Capacity)
    gateways: tuple[GatewayPlan, ...] = ()

    def node(self, name: str) -> NodePlan | None:
        """The plan of one host; None where the host is no node of the fleet."""
        return next((node for node in self.nodes if node.name == name), None)

    def gateway(self, name: str) -> GatewayPlan | None:
        """The plan of the gateway on a host; None where the host is none."""
        return next((gateway for gateway in self.gateways if gateway.node == name), None)
