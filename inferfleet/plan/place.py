"""Instances from a node's cards, with names and ports."""

from collections import Counter
from collections.abc import Iterator

from inferfleet.placed import Instance, PlacedGpu
from inferfleet.spec import DeclaredInstance, FleetNode, OllamaEngine


def instances_of(node: FleetNode, mistakes: list[str]) -> tuple[Instance, ...]:
    """A node's instances without models: as written out in the inventory, or by the engine's `per` rule."""
    settings = node.engines.ollama
    if settings is None:
        return ()
    declared = node.node.instances if node.node.instances is not None else _by_rule(node, settings)
    instances = tuple(_placed(node, settings, position, entry) for position, entry in enumerate(declared))
    mistakes += [*_clashes(instances), *_of_two_kinds(instances), *_not_in_docker(node, instances)]
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


def _of_two_kinds(instances: tuple[Instance, ...]) -> Iterator[str]:
    """Ollama runs a model on cards of one library alone (0.32.15, server/sched.go, selectLlamaServerPlacement)."""
    for one in instances:
        if len({gpu.backend for gpu in one.gpus}) > 1:
            yield f"{one.node}: {one.name} has cards of cuda and of vulkan; write two `instances`, one for each kind"


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
