"""From a node's plan to what each of its roles must bring about, as plain data. Pure."""

from collections.abc import Sequence

from inferfleet.engines.docker_host import Closed, DockerHost
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.engines.toolkit_host import ToolkitHost
from inferfleet.placed import PlacedGpu
from inferfleet.plan import NodePlan


def nvidia_host(node: NodePlan) -> NvidiaHost:
    """What a node's driver must be."""
    return NvidiaHost(
        gpus=node.gpus,
        engines=tuple(sorted({instance.engine for instance in node.instances})),
        manage=node.driver.manage,
        branch=node.driver.branch,
        modules=node.driver.modules,
        source=node.sources.nvidia_driver,
        fingerprint=node.sources.nvidia_driver_fingerprint,
        proxy=node.proxy,
    )


def docker_host(node: NodePlan) -> DockerHost:
    """What a node's Docker must be."""
    docker = [instance for instance in node.instances if instance.runtime == "docker"]
    return DockerHost(
        settings=node.docker,
        sources=node.sources,
        published=tuple((instance.settings.host, instance.port) for instance in docker),
        needs_cdi=any(instance.gpus for instance in docker),
        proxy=tuple(node.proxy.items()),
        closed=closed(node),
    )


def closed(node: NodePlan) -> Closed | None:
    """What gateways on other hosts alone may reach; None where there is no such gateway."""
    if node.address is None or not node.gateways:
        return None
    native = [one for one in node.instances if one.runtime == "native" and one.settings.host == node.address]
    return Closed(node.address, node.gateways, tuple(sorted(instance.port for instance in native)))


def toolkit_host(node: NodePlan, cards: Sequence[PlacedGpu]) -> ToolkitHost:
    """What a node's NVIDIA Container Toolkit must be; one without cards where its containers get none.

    Args:
        node: the plan of the host.
        cards: the node's cards with the UUIDs that the host says they have, as far as it could be asked.
    """
    known = dict(zip(node.gpus, cards, strict=True))
    docker = [instance for instance in node.instances if instance.runtime == "docker"]
    return ToolkitHost(
        version=node.toolkit.version,
        source=node.sources.nvidia_toolkit,
        fingerprint=node.sources.nvidia_toolkit_fingerprint,
        gpus=tuple(known[gpu] for instance in docker for gpu in instance.gpus),
        proxy=node.proxy,
    )
