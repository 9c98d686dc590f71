"""One question to a host about our table of the firewall."""

from inferfleet.facts.answer import Answer


class FirewallState(Answer):
    """Files, unit and table, as `remote/firewall_state.py` says them."""

    asks = "firewall_state"
    about = "the firewall"
