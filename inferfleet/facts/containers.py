"""One question to a host about its containers."""

from inferfleet.facts.answer import Answer


class ContainerState(Answer):
    """Units, running containers, images and ports, as `remote/container_state.py` says them."""

    asks = "container_state"
    about = "its containers"
