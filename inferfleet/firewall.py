"""Our table of the firewall and its unit, from the templates."""

from collections.abc import Sequence

from inferfleet.engines.docker_host import BRIDGE, FIREWALL, NETWORK, Closed, Firewall
from inferfleet.render import render


def rules(published: Sequence[tuple[str, str, int, str]], closed: Closed | None) -> Firewall:
    """The texts.

    Args:
        published: as `DockerHost.accepted` gives it; none on a host without containers.
        closed: what gateways alone may reach, if anything.
    """
    text = render("docker/firewall.nft.j2", network=NETWORK, bridge=BRIDGE, published=published, closed=closed)
    return Firewall(text, render("systemd/inferfleet-firewall.service.j2", path=FIREWALL))
