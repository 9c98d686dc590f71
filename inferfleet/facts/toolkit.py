"""One question to a host about its NVIDIA Container Toolkit."""

from inferfleet.facts.answer import Answer


class ToolkitState(Answer):
    """Packages, units, CDI specifications and what Docker sees of them, as `remote/toolkit_state.py` says them."""

    asks = "toolkit_state"
    about = "its toolkit"
