"""A host's Docker: engine, settings, network and firewall, in one question and at most one command."""

from pyinfra.api import StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.docker_host import DockerHost
from inferfleet.facts.docker import DockerState
from inferfleet.firewall import rules
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import told
from inferfleet.remote import compact


@converging
def engine(declared: DockerHost) -> tuple[Changes, list[StringCommand]]:
    """Docker is installed, pinned, held and runs as declared; other people's settings stay; ports are closed.

    Args:
        declared: what the host's Docker must be.
    """
    texts = rules(tuple(declared.accepted()), declared.closed)
    state = host.get_fact(DockerState, compact(declared.question(texts)))

    def work(found: Changes) -> list[StringCommand]:
        return [told("docker_engine", found.work)]

    return decided(lambda: changes.docker(declared, texts, state), state, work)
