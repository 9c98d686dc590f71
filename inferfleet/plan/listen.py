"""Where instances listen: on the host's loopback, or where gateways on other hosts reach them."""

import ipaddress
from dataclasses import replace

from inferfleet.placed import Instance
from inferfleet.spec import Engines, Fleet, FleetNode

_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def listening(fleet: Fleet) -> tuple[Fleet, list[str]]:
    """The fleet with each engine's `host` where gateways reach it, and a line for each host of which none can."""
    mistakes: list[str] = []
    nodes = []
    opened = [node.name for node in fleet.nodes if any(one.name != node.name for one in fleet.gateways)]
    mistakes += [
        f"{one.name}: instances on other hosts are open to the gateway's address alone, which is not known; "
        'write it, as in {"address": "10.0.0.10"}'
        for one in fleet.gateways
        if one.address is None and set(opened) - {one.name}
    ]
    for node in fleet.nodes:
        others = [one.name for one in fleet.gateways if one.name != node.name]
        runs = bool(node.node.gpus or node.node.instances)
        nodes.append(_opened(node, others[0], mistakes) if others and runs else node)
    return replace(fleet, nodes=tuple(nodes)), mistakes


def _opened(node: FleetNode, gateway: str, mistakes: list[str]) -> FleetNode:
    opened, address = {}, node.node.address
    for name in Engines.model_fields:
        settings = getattr(node.engines, name)
        if settings is None:
            continue
        host = ipaddress.ip_address(settings.host) if "host" in settings.model_fields_set else None
        if host is not None and host.is_loopback:
            mistakes.append(
                f"{node.name}: engines.{name}.host {settings.host} is out of reach of the gateway {gateway}; "
                "leave it out and write the host's `address`"
            )
        elif (host is None or host.is_unspecified) and address is None:
            mistakes.append(
                f"{node.name}: the gateway {gateway} does not know where to reach it; "
                'write its address in the fleet\'s network, as in {"address": "10.0.0.11"}'
            )
        elif host is None:
            opened[name] = settings.model_copy(update={"host": address})
    return replace(node, engines=node.engines.model_copy(update=opened))


def reached(instance: Instance, node: FleetNode, gateway: str) -> str:
    """The address at which a gateway reaches an instance."""
    host = ipaddress.ip_address(instance.settings.host)
    if not host.is_unspecified:
        return str(host)
    return _LOOPBACK[host.version] if node.name == gateway else node.node.address or ""
