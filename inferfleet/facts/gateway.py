"""One question to a host about its gateway."""

from inferfleet.facts.answer import Answer


class GatewayState(Answer):
    """Packages, files, certificate, units and running processes, as `remote/gateway_state.py` says them."""

    asks = "gateway_state"
    about = "the gateway"
