"""Checks of the containers: running, started as declared."""

from inferfleet.changes import started_otherwise
from inferfleet.checks.base import Target

STRANGERS = "a container of that name is another program's"


def is_running(name: str, target: Target) -> str:
    """The unit is active now and enabled at boot, and its container runs."""
    state = target.containers
    unit, container = state["units"][name], state["containers"].get(name)
    if state["docker"]:
        return str(state["docker"])
    if container and not container["ours"]:
        return STRANGERS
    if unit["active"] != "active":
        return f"the unit is {unit['active'] or 'missing'}"
    if not container or not container["running"]:
        return "its container does not run"
    return "" if unit["enabled"] == "enabled" else f"the unit is {unit['enabled'] or 'not enabled'}"


def started_as_declared(name: str, target: Target) -> str:
    """The running container has the declared settings, cards and image: not the unit's file, the container."""
    found = target.containers["containers"].get(name)
    if found and not found["ours"]:
        return STRANGERS
    if not found or not found["running"]:
        return "its container does not run"
    otherwise = started_otherwise(target.declared_containers[name], target.containers)
    return f"it {otherwise}" if otherwise else ""
