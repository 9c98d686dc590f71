"""A gateway that is no longer declared."""

from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines.gateway_host import ETC, PREVIOUS, RUN, UNIT_DIR


def gateway_gone(state: dict[str, Any]) -> Changes:
    """Its units and files are gone; packages stay. `state` is the answer of `remote/ollama_state.py`."""
    units = state.get("gateway", [])
    effects = tuple(Effect("remove", name, "is no longer declared", interrupts=True) for name in units)
    return Changes(effects, {"units": units, "unit_dir": UNIT_DIR, "directories": [ETC, PREVIOUS, RUN]})
