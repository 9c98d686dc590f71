"""Placement: instances from a node's cards, then models onto instances."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from inferfleet.placed import Instance, PlacedGpu
from inferfleet.spec import DeclaredInstance, FleetNode, Model, OllamaEngine


def instances_of(node: FleetNode, mistakes: list[str]) -> tuple[Instance, ...]:
    """A node's instances without models: as written out in the inventory, or by the engine's `per` rule."""
    settings = node.engines.ollama
    if settings is None:
        return ()
    declared = node.node.instances if node.node.instances is not None else _by_rule(node, settings)
    instances = tuple(_placed(node, settings, position, entry) for position, entry in enumerate(declared))
    mistakes += [*_clashes(instances), *_not_in_docker(node, instances)]
    return instances


def _by_rule(node: FleetNode, settings: OllamaEngine) -> list[DeclaredInstance]:
    cards = range(len(node.node.gpus))
    if settings.per == "node":
        return [DeclaredInstance(engine="ollama", gpus=tuple(cards), name="ollama", port=None)]
    return [DeclaredInstance(engine="ollama", gpus=(card,), name=None, port=None) for card in cards]


def _placed(node: FleetNode, settings: OllamaEngine, position: int, entry: DeclaredInstance) -> Instance:
    gpus = tuple(card for position, card in enumerate(cards_of(node)) if position in entry.gpus)
    # A name that follows the cards stays when an instance before it goes away.
    place = "-".join(f"gpu{index}" for index in sorted(entry.gpus)) or f"cpu{_before(node, position)}"
    return Instance(
        node=node.name,
        name=entry.name or f"{entry.engine}-{place}",
        engine=entry.engine,
        runtime=entry.runtime or settings.runtime,
        settings=settings,
        gpus=gpus,
        port=entry.port or settings.port + position,
        models=(),
    )


def cards_of(node: FleetNode) -> tuple[PlacedGpu, ...]:
    """The node's cards, each with the index that its driver knows it by."""
    seen = Counter[str]()
    cards = []
    for gpu in node.node.gpus:
        cards.append(PlacedGpu(seen[gpu.backend], gpu.model, gpu.uuid, gpu.backend, gpu.vram_gib))
        seen[gpu.backend] += 1
    return tuple(cards)


def _before(node: FleetNode, position: int) -> int:
    """How many instances on the CPU come before this one."""
    return sum(not entry.gpus for entry in (node.node.instances or ())[:position])


def _not_in_docker(node: FleetNode, instances: tuple[Instance, ...]) -> Iterator[str]:
    """What is declared to run in a container and cannot, or must not."""
    for one in (instance for instance in instances if instance.runtime == "docker"):
        if any(gpu.backend != "cuda" for gpu in one.gpus):
            yield f"{one.node}: {one.name} runs in Docker, where cards are NVIDIA's; give it runtime: 'native'"
        if node.docker.require_digest and "@sha256:" not in one.image:
            yield (
                f"{one.node}: {one.name} runs {one.image}, and docker.require_digest is set; "
                f"set engines.ollama.image to {one.image}@sha256:..."
            )


def _clashes(instances: tuple[Instance, ...]) -> list[str]:
    wrong = []
    for position, one in enumerate(instances):
        if one.port > 65535:
            wrong.append(f"{one.node}: {one.name} would get port {one.port}; choose a lower `port`")
        for other in instances[:position]:
            if one.port == other.port:
                wrong.append(
                    f"{one.node}: {other.name} and {one.name} both get port {one.port}; give one another `port`"
                )
            if one.name == other.name:
                wrong.append(f"{one.node}: two instances are called {one.name}; give one another `name`")
    return wrong


def placed_models(
    nodes: Mapping[str, tuple[Instance, ...]], models: Iterable[tuple[str, Model]], mistakes: list[str]
) -> dict[str, tuple[Instance, ...]]:
    """Put every model on its instances: on all of the engine's, or on the emptiest ones, nodes in turn.

    Models are placed in the order they are declared and ties go to the earlier host, so that a model added at the
    end moves nothing.
    """
    placed = {(i.node, i.name): i for instances in nodes.values() for i in instances}
    for name, model in models:
        able = [i for i in placed.values() if i.engine == model.engine]
        wanted = len(able) if model.replicas == "all" else int(model.replicas)
        if wanted > len(able) or not able:
            if not able:
                mistakes.append(
                    f"models.{name}: no {model.engine} instance is there to serve it; "
                    f"add cards or `instances` to the inventory, or remove the model"
                )
                continue
            mistakes.append(
                f"models.{name}: wants {wanted} of {len(able)} {model.engine} instances; "
                f"lower `replicas`, or add cards or `instances` to the inventory"
            )
            continue
        for instance in _choose(able, wanted):
            placed[instance.node, instance.name] = replace(instance, models=(*instance.models, name))
    return {node: tuple(placed[node, instance.name] for instance in instances) for node, instances in nodes.items()}


def _choose(able: list[Instance], wanted: int) -> list[Instance]:
    chosen: list[Instance] = []
    left, on_node = list(able), Counter[str]()
    for _ in range(wanted):
        # min takes the first of equals, so the order of `able` decides ties.
        position = min(range(len(left)), key=lambda p: (on_node[left[p].node], len(left[p].models)))
        chosen.append(left.pop(position))
        on_node[chosen[-1].node] += 1
    return chosen
