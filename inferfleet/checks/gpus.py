"""Checks of NVIDIA cards: the host's own, what a container sees of them, and where models are computed."""

from typing import Any

from inferfleet.changes import cards, driver, with_uuids
from inferfleet.checks.base import Peak, Target
from inferfleet.checks.cards import sees_exactly
from inferfleet.checks.containers import STRANGERS
from inferfleet.checks.models import same
from inferfleet.declared import nvidia_host
from inferfleet.placed import Instance, PlacedGpu
from inferfleet.plan import NodePlan


def are_well(node: NodePlan, target: Target) -> str:
    """The driver serves, and each declared card is there, is what it is declared as, and can compute."""
    found = (driver(nvidia_host(node), target.gpus), cards(node.gpus, target.gpus))
    reasons = [effect.why for changes in found for effect in changes.effects]
    return reasons[0] if reasons else ""


def sees_its_cards(instance: Instance, target: Target) -> str:
    """The container sees the nodes of its cards and no others, and may open them: now, whatever it was started with."""
    container = target.containers["containers"].get(instance.name)
    if container and not container["ours"]:
        return STRANGERS
    devices = [card.uuid or str(card.index) for card in _uuids(instance, target)]
    minors = {card["uuid"]: card["minor"] for card in target.gpus["cards"] if not card["error"]}
    return sees_exactly(instance.name, devices, target.container_cards, minors)


def computes_on_its_cards(instance: Instance, address: str, model: str, target: Target) -> str:
    """After a token, NVML shows a process of this instance on each of its cards, and on no other."""
    asked = target.ask(address, model, ["Hello"], 1)
    if "error" in asked:
        return str(asked["error"])
    processes = set(target.processes()[instance.name])
    wanted = {card.uuid for card in _uuids(instance, target)}
    state = target.gpus_now()
    lacks = [c for c in state["cards"] if wanted & _names(c) and not processes & _pids(c)]
    extra = [c for c in state["cards"] if processes & _pids(c) and not wanted & _names(c)]
    if lacks:
        return f"NVML shows no process of it on {lacks[0]['uuid']}"
    if extra:
        return f"NVML shows a process of it on {extra[0]['uuid']} too"
    _measure([c for c in state["cards"] if wanted & _names(c)], processes, asked["loaded"], (address, model), target)
    return ""


def _uuids(instance: Instance, target: Target) -> tuple[PlacedGpu, ...]:
    return with_uuids(instance.gpus, target.gpus)


def _names(card: dict[str, Any]) -> set[str | None]:
    """The UUIDs of a card and of the devices that it is sliced into."""
    return set() if card["error"] else {card["uuid"], *(device["uuid"] for device in card["mig"]["devices"])}


def _pids(card: dict[str, Any]) -> set[int]:
    return {process["pid"] for process in card.get("processes") or ()}


def _measure(
    cards: list[dict[str, Any]], pids: set[int], loaded: list[Any], what: tuple[str, str], target: Target
) -> None:
    """Note what the driver counts for the instance: one model's, where it alone is in memory and all of it on cards.

    Some drivers do not tell what a process uses, as in containers or of parts of a card; then nothing is noted.
    """
    used = [process["used_mib"] for card in cards for process in card["processes"] if process["pid"] in pids]
    if len(loaded) != 1 or None in used:
        return
    name, size, vram = loaded[0]
    if name in same(target, what[1]) and vram == size:
        target.peaks.append(Peak(*what, sum(used) << 20, "nvml"))
