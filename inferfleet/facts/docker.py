"""One question to a host about its Docker."""

from inferfleet.facts.answer import Answer


class DockerState(Answer):
    """Packages, daemon.json, the daemon, network and firewall, as `remote/docker_state.py` says them."""

    asks = "docker_state"
    about = "Docker"
