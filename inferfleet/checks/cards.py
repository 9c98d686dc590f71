"""Checks of cards in containers: each sees exactly its own, and may open it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_KIND = "nvidia.com/gpu"
_CARD = re.compile(r"/dev/(nvidia\d+|nvidia-caps/nvidia-cap\d+)")


def sees_exactly(
    name: str, devices: Sequence[str], found: Mapping[str, Any], minors: Mapping[str, int] | None = None
) -> str:
    """The container was given the declared cards by name, sees their nodes and no others, and may open just these.

    Args:
        name: of the container.
        devices: the declared cards' UUIDs, or their indices.
        found: the answer of `remote/container_cards.py`.
        minors: UUID -> minor number as NVML says it; with them a specification that is stale is seen as well.
    """
    container = found["containers"].get(name)
    if container is None or not container["running"]:
        return "there is no such container" if container is None else "the container does not run"
    return (
        _why_not_given(devices, container)
        or str(container.get("error", ""))
        or _why_wrong_nodes(devices, found, container, minors or {})
    )


def _why_not_given(devices: Sequence[str], container: Mapping[str, Any]) -> str:
    if container["privileged"]:
        return "it is privileged and may open every card"
    if container["runtime"] == "nvidia":
        return "its runtime is nvidia, which gives it the cards that its image asks for"
    wanted = sorted(f"{_KIND}={device}" for device in devices)
    if container["cdi"] != wanted:
        return f"it was given {' '.join(container['cdi']) or 'no card'}, declared is {' '.join(wanted) or 'none'}"
    return ""


def _why_wrong_nodes(
    devices: Sequence[str], found: Mapping[str, Any], container: Mapping[str, Any], minors: Mapping[str, int]
) -> str:
    expected: set[str] = set()
    for device in devices:
        nodes = found["specified"].get(device)
        if nodes is None:
            return f"the CDI specification does not name {device}"
        if device in minors and f"/dev/nvidia{minors[device]}" not in nodes:
            return f"the CDI specification gives {' '.join(nodes)} as {device}, NVML says /dev/nvidia{minors[device]}"
        expected |= {node for node in nodes if _CARD.fullmatch(node)}
    for verb, has in (("see", set(container["sees"])), ("open", set(container["opens"]))):
        if lacks := sorted(expected - has):
            return f"it cannot {verb} {_called(lacks[0], found)}"
        if more := sorted(has - expected):
            return f"it can {verb} {_called(more[0], found)} too"
    return ""


def _called(node: str, found: Mapping[str, Any]) -> str:
    """A node with the UUID of its card, where the specification tells it."""
    for name, nodes in sorted(found["specified"].items()):
        if name.startswith("GPU-") and node in nodes:
            return f"{node} ({name})"
    return node
