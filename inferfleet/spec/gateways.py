"""The hosts that are gateways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferfleet.spec.gateway import Gateway
from inferfleet.spec.node import Node
from inferfleet.spec.parse import parse


@dataclass(frozen=True)
class FleetGateway:
    """One host that is a gateway; it may be a node of the fleet as well. At `address` the others see it."""

    name: str
    gateway: Gateway
    address: str | None = None


def parse_gateways(hosts: Mapping[str, Mapping[str, Any]], mistakes: list[str]) -> tuple[FleetGateway, ...]:
    """The gateways of an inventory. All are the same but for the address that each listens on."""
    data = {name: host["gateway"] for name, host in hosts.items() if "gateway" in host}
    shared = all(value == next(iter(data.values())) for value in data.values())
    before = len(mistakes)
    found = tuple(
        FleetGateway(
            name,
            parse(Gateway, value, "gateway" if shared else f"{name}: gateway", mistakes),
            _address(name, hosts[name], mistakes),
        )
        for name, value in data.items()
    )
    if len(mistakes) == before and not shared:
        first = found[0].gateway.model_copy(update={"listen": ""})
        mistakes += [
            f"gateway: {found[0].name} and {one.name} differ in more than `listen`; "
            "keep it in group_data/gateways.py, so that each answers as the other"
            for one in found[1:]
            if one.gateway.model_copy(update={"listen": ""}) != first
        ]
    return found


def _address(name: str, host: Mapping[str, Any], mistakes: list[str]) -> str | None:
    """What the host says of its address; of a node of the fleet, mistakes are told where all of it is parsed."""
    told = [] if "gpus" in host or "instances" in host else mistakes
    return parse(Node, {"address": host["address"]}, name, told).address if "address" in host else None
