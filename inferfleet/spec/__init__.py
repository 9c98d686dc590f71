"""What an inventory says, parsed: `parse_fleet(host data) -> Fleet`.

Nouns, one file each: `node` (its GPUs and instances), `engine`, `model`, `sources`.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferfleet.errors import SpecError
from inferfleet.spec import wording
from inferfleet.spec.chains import names_wrong
from inferfleet.spec.docker import AddressPool, Docker
from inferfleet.spec.engine import Engines, OllamaEngine
from inferfleet.spec.gateway import Certificate, Gateway
from inferfleet.spec.gateways import FleetGateway, parse_gateways
from inferfleet.spec.images_wrong import images_wrong
from inferfleet.spec.key import Key, parse_keys
from inferfleet.spec.model import NAME, Model, tagged
from inferfleet.spec.node import DeclaredInstance, Gpu, Node
from inferfleet.spec.nvidia import Driver, Toolkit
from inferfleet.spec.parse import N, parse
from inferfleet.spec.provider import Provider
from inferfleet.spec.server import ServerEngine
from inferfleet.spec.sources import Sources

__all__ = [
    "NODE_KEYS", "AddressPool", "Certificate", "DeclaredInstance", "Docker", "Driver", "Engines", "Fleet",
    "FleetGateway", "FleetNode", "Gateway", "Gpu", "Key", "Model", "Node", "OllamaEngine", "Provider", "ServerEngine",
    "Sources", "Toolkit", "parse_fleet", "parse_keys", "tagged",
]  # fmt: skip

NODE_KEYS = ("gpus", "instances", "ram_gib", "disk_gib", "nvlink", "address")
KEYS = (*NODE_KEYS, "engines", "models", "sources", "docker", "driver", "toolkit", "gateway")
# Near misses of our keys among a host's data; any other unknown key is the user's or pyinfra's own.
_NEAR_MISSES = {"gpu": "gpus", "instance": "instances", "engine": "engines", "model": "models", "source": "sources",
                "drivers": "driver", "toolkits": "toolkit", "ram": "ram_gib", "ram_gb": "ram_gib", "disk": "disk_gib",
                "disk_gb": "disk_gib", "nvlinks": "nvlink"}  # fmt: skip


@dataclass(frozen=True)
class FleetNode:
    """One host of the fleet with everything that holds for it."""

    name: str
    node: Node
    engines: Engines
    sources: Sources
    docker: Docker
    driver: Driver
    toolkit: Toolkit


@dataclass(frozen=True)
class Fleet:
    """The whole inventory, parsed. Equal inventories give equal fleets."""

    nodes: tuple[FleetNode, ...]
    models: tuple[tuple[str, Model], ...]
    gateways: tuple[FleetGateway, ...] = ()


def parse_fleet(hosts: Mapping[str, Mapping[str, Any]]) -> Fleet:
    """Parse the inventory: host name -> that host's data, as pyinfra merges it.

    A host is a node of the fleet when its data has `gpus` or `instances`, and a gateway when it has `gateway`; it may
    be both. Other hosts and other keys are ignored.

    Raises:
        SpecError: with one line for each mistake, in the order of the inventory.
    """
    nodes = {name: data for name, data in hosts.items() if "gpus" in data or "instances" in data}
    mistakes = [line for name, data in hosts.items() for line in _near_misses(name, data)]
    if not nodes:
        none = "inventory: no host has `gpus` or `instances`; say on which hosts the fleet runs"
        raise SpecError(mistakes or [none])
    gateways = parse_gateways(hosts, mistakes)
    parsed = {name: _node(name, data, mistakes) for name, data in nodes.items()}
    engines = _per_host(nodes, "engines", Engines, mistakes)
    sources = _per_host(nodes, "sources", Sources, mistakes)
    docker = _per_host(nodes, "docker", Docker, mistakes)
    driver = _per_host(nodes, "driver", Driver, mistakes)
    toolkit = _per_host(nodes, "toolkit", Toolkit, mistakes)
    models = _models(nodes, mistakes)
    if mistakes:
        raise SpecError(dict.fromkeys(mistakes))
    made = (FleetNode(n, parsed[n], engines[n], sources[n], docker[n], driver[n], toolkit[n]) for n in nodes)
    fleet = Fleet(tuple(made), tuple(models), gateways)
    images = images_wrong({n.name: (n.node, n.engines.ollama) for n in fleet.nodes})
    names = names_wrong(fleet.models, gateways[0].gateway if gateways else None)
    checks = (_uuids_twice(fleet.nodes), _engines_there(fleet), _sources_wrong(fleet.models), names, images)
    if wrong := [line for lines in checks for line in lines]:
        raise SpecError(wrong)
    return fleet


def _near_misses(name: str, data: Mapping[str, Any]) -> Iterator[str]:
    """Misspelt keys of ours. One of those that make a host a node would take the host out of the fleet in silence."""
    known = {key: meant for key, meant in _NEAR_MISSES.items() if key in data}
    for key, value in ((key, value) for key, value in data.items() if isinstance(key, str)):
        # Lists are what these two hold; what else looks like them is more likely the user's own.
        near = difflib.get_close_matches(key, ("gpus", "instances"), 1, 0.75 if isinstance(value, list) else 0.85)
        if near and key not in KEYS:
            known.setdefault(key, near[0])
    yield from (f"{name}: unknown key {key!r}; did you mean {meant!r}?" for key, meant in known.items())


def _node(name: str, data: Mapping[str, Any], mistakes: list[str]) -> Node:
    return parse(Node, {key: data[key] for key in NODE_KEYS if key in data}, name, mistakes)


def _per_host(nodes: Mapping[str, Mapping[str, Any]], key: str, noun: type[N], mistakes: list[str]) -> dict[str, N]:
    """Parse a key that may differ by group; what all hosts share is called by its key alone."""
    values = {name: data.get(key, {}) for name, data in nodes.items()}
    shared = all(value == next(iter(values.values())) for value in values.values())
    return {name: parse(noun, value, key if shared else f"{name}: {key}", mistakes) for name, value in values.items()}


def _models(nodes: Mapping[str, Mapping[str, Any]], mistakes: list[str]) -> list[tuple[str, Model]]:
    first = next(iter(nodes))
    declared = nodes[first].get("models", {})
    for name, data in nodes.items():
        if data.get("models", {}) != declared:
            mistakes.append(
                f"models: {first} and {name} differ; models are the fleet's: keep them in group_data/all.py"
            )
            return []
    if not isinstance(declared, dict):
        mistakes.append(
            f"models: must be a dict (got {wording.shown(declared)}); "
            'write {"llama2:13b": {"engine": "ollama"}}: each model by its name'
        )
        return []
    found: list[tuple[str, Model]] = []
    for name, data in declared.items():
        _check_name(name, [other for other, _ in found], mistakes)
        model = parse(Model, data, wording.dotted("models", name), mistakes)
        _check_own_name(name, model, mistakes)
        found.append((str(name), model))
    return found


def _sources_wrong(models: tuple[tuple[str, Model], ...]) -> Iterator[str]:
    """Models made from each other in a circle, or from one source that they pin differently."""
    by_tag = {tagged(name): model for name, model in models}
    pins: dict[str, tuple[str, str]] = {}
    for name, model in models:
        chain = [tagged(name)]
        while (source := by_tag[chain[-1]].source_name if chain[-1] in by_tag else None) and source != chain[-1]:
            if source == chain[0]:
                yield f"models.{name}: is made from itself through {' and '.join(chain[1:])}; give one another source"
            if source in chain:
                break
            chain.append(source)
        if model.pin:
            other, pin = pins.setdefault(model.source_name or tagged(name), (name, model.pin))
            if pin != model.pin:
                yield f"models.{name}: {other} has the same source with another pin; pin both to the same digest"


def _check_name(name: Any, others: Iterable[str], mistakes: list[str]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        mistakes.append(
            f"models: {wording.shown(name)} is not a model's name; write it as in llama2:13b or team/chat:v1"
        )
    elif same := [other for other in others if tagged(other).lower() == tagged(name).lower()]:
        mistakes.append(f"models.{name}: is declared twice, {same[0]!r} is the same model to Ollama; keep one of them")


def _check_own_name(name: Any, model: Model, mistakes: list[str]) -> None:
    """A customised model is made from another, so it cannot share that one's name."""
    if not hasattr(model, "source") or model.is_file or not model.is_customised or not isinstance(name, str):
        return
    if tagged(model.source or name) == tagged(name):
        mistakes.append(
            f"{wording.dotted('models', name)}: has settings of its own under its source's name; "
            f"call it something else and write source: {name!r}"
        )


def _uuids_twice(nodes: Iterable[FleetNode]) -> list[str]:
    seen: dict[str, str] = {}
    wrong = []
    for node in nodes:
        for gpu in node.node.gpus:
            if gpu.uuid and gpu.uuid in seen:
                first = seen[gpu.uuid]
                wrong.append(f"{node.name}: card {gpu.uuid} is declared on {first} too; keep it on the one that has it")
            seen[gpu.uuid or ""] = node.name
    return wrong


def _engines_there(fleet: Fleet) -> list[str]:
    wrong = [
        f"{node.name}: instances[{position}]: engine {instance.engine!r} has no settings; "
        f'add engines = {{"{instance.engine}": {{"version": ...}}}}'
        for node in fleet.nodes
        for position, instance in enumerate(node.node.instances or ())
        if getattr(node.engines, instance.engine) is None
    ]
    if not fleet.models and all(n.node.instances is None and n.engines == Engines() for n in fleet.nodes):
        wrong.append('engines: none is declared, so nothing would run; add engines = {"ollama": {"version": ...}}')
    wrong += [
        f"models.{name}: engine {model.engine!r} is set up on no host; "
        f'add engines = {{"{model.engine}": {{"version": ...}}}}'
        for name, model in fleet.models
        if all(getattr(node.engines, model.engine) is None for node in fleet.nodes)
    ]
    return wrong
