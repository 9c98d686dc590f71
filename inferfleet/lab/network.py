"""The network of a lab: a bridge in its namespace, one veth to this machine, no way further.

This machine has address .1 and serves packages there. There is no NAT, no forwarding, no name server
and no firewall rule; hosts reach each other and .1, nothing else.
"""

import ipaddress
import json
from collections.abc import Set

from inferfleet.errors import LabError
from inferfleet.lab.namespaces import inside
from inferfleet.lab.state import LabState, Process
from inferfleet.lab.system import run

SPACE = "10.77"
BRIDGE = "br0"
FIRST_HOST = 11


def gateway(net: int) -> str:
    """This machine's address in the lab."""
    return f"{SPACE}.{net}.1"


def host_address(net: int, number: int) -> str:
    """The address of the host with that place in the lab's list."""
    return f"{SPACE}.{net}.{FIRST_HOST + number}"


def link_name(tag: str) -> str:
    """This machine's end of the veth; at most 15 letters."""
    return f"ifl{tag}"


def free_net(taken: Set[int]) -> int:
    """The first /24 of 10.77.0.0/16 that is not taken and to which this machine has no route.

    Raises:
        LabError: none is left.
    """
    routes = [route["dst"] for route in json.loads(run(["ip", "-json", "route", "show", "table", "all"]).stdout)]
    used = [network for dst in routes if (network := _ipv4(dst)) is not None]
    for net in sorted(set(range(1, 255)) - taken):
        candidate = ipaddress.ip_network(f"{SPACE}.{net}.0/24")
        if not any(candidate.overlaps(network) for network in used):
            return net
    raise LabError(f"network: no free /24 in {SPACE}.0.0/16", "inferfleet lab down --all")


def _ipv4(destination: str) -> ipaddress.IPv4Network | None:
    """A route's destination, unless it is IPv6, the default route or as wide as one (a VPN's 0.0.0.0/1)."""
    try:
        network = ipaddress.ip_network(destination)
    except ValueError:
        return None
    return network if isinstance(network, ipaddress.IPv4Network) and network.prefixlen > 8 else None


def connect(state: LabState, init: Process) -> None:
    """The lab's bridge is up and this machine has its address in it."""
    link = link_name(state.tag)
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", "up0", "netns", str(init.pid)])
    bridge = (
        f"link set lo up\nlink add {BRIDGE} type bridge\nlink set {BRIDGE} up\nlink set up0 master {BRIDGE}\n"
        "link set up0 up\n"
    )
    run(inside(init, ["ip", "-batch", "-"], ["net"]), stdin=bridge)
    run(["ip", "address", "add", f"{gateway(state.net)}/24", "dev", link])
    run(["ip", "link", "set", link, "up"])


def disconnect(tag: str) -> None:
    """This machine's end is gone, and its address and route with it."""
    run(["ip", "link", "delete", link_name(tag)], check=False)


def unplug(init: Process, host: str) -> None:
    """The veth of a host that was cut is gone; the kernel removes it too, but not at once."""
    run(inside(init, ["ip", "link", "delete", f"vb-{host}"], ["net"]), check=False)
