"""Checks of the containers: running, started as declared."""

from inferfleet.checks.base import Target
from inferfleet.engines import ollama


def is_running(name: str, target: Target) -> str:
    """The unit is active now and enabled at boot, and its container runs."""
    state = target.containers
    unit, container = state["units"][name], state["containers"].get(name)
    if state["docker"]:
        return str(state["docker"])
    if unit["active"] != "active":
        return f"the unit is {unit['active'] or 'missing'}"
    if not container or not container["running"]:
        return "its container does not run"
    return "" if unit["enabled"] == "enabled" else f"the unit is {unit['enabled'] or 'not enabled'}"


def started_as_declared(name: str, target: Target) -> str:
    """The running container has the declared settings, cards and image: not the unit's file, the container."""
    declared, found = target.declared_containers[name], target.containers["containers"].get(name)
    if not found or not found["running"]:
        return "its container does not run"
    if set(found["devices"]) != set(declared.devices):
        had, wanted = (", ".join(names) or "no card" for names in (found["devices"], declared.devices))
        return f"it was given {had}, declared is {wanted}"
    for line in declared.environment.splitlines():
        variable, _, value = line.partition("=")
        if found["environment"].get(variable) != value:
            return f"it has {ollama.different(variable, found['environment'].get(variable), value)}"
    image = (target.containers["images"].get("found") or {}).get(declared.image.runs)
    if image and image["id"] != found["image"]:
        return f"it runs image {found['image'][:19]}, declared is {image['id'][:19]}"
    return "" if found["spec"] == declared.digest else "it was started by another unit than the declared one"
