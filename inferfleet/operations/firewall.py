"""Our table of the firewall on a host without Docker, in one question and at most one command."""

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.docker_host import Closed
from inferfleet.facts.firewall import FirewallState
from inferfleet.firewall import rules
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.remote import compact


@converging
def closed(declared: Closed) -> tuple[Changes, list[StringCommand]]:
    """Instances are reached by gateways alone.

    Args:
        declared: the host's address, the gateways, and the ports.
    """
    texts = rules((), declared)
    state = host.get_fact(FirewallState, compact(texts.question))

    def work(found: Changes) -> list[StringCommand]:
        return [told("firewall_service", found.work)]

    return decided(lambda: changes.firewall(texts, state), state, work)
