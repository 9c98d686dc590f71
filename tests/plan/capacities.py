"""Fleets with their memory planned, made by hand: what the views of a plan are tried on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from inferfleet.memory import Need
from inferfleet.placed import PlacedGpu
from inferfleet.plan import FleetPlan, make_plan
from inferfleet.plan.capacity import Capacity, CardUse, HostUse, Loss, ModelUse, Refusal, Share
from inferfleet.spec import parse_fleet
from tests.spec.inventories import host

GIB = 1024**3
# Card -> its memory, and what an empty one leaves to engines.
CARDS = {"A30": (24.0, 23.2), "RTX 4090": (24.0, 23.5), "RTX 3090": (24.0, 23.6), "H100": (80.0, 79.1)}
# Model -> weights, KV cache of one sequence, sequences, what the engine adds.
MODELS = {
    "llama2:13b": (6.9, 3.125, 4, 1.5),
    "qwen2.5:32b": (18.5, 1.0, 2, 1.9),
    "mistral:7b": (4.1, 0.5, 8, 0.9),
    "nomic-embed-text": (0.3, 0.0625, 1, 0.4),
}
Placing = Mapping[str, Sequence[tuple[str, Sequence[str]]]]


def size(gib: float) -> int:
    """GiB as bytes."""
    return round(gib * GIB)


def share(model: str, instance: str = "ollama-gpu0", waits: bool = False) -> Share:
    """What one of the known models takes."""
    weights, sequence, parallel, engine = MODELS[model]
    return Share(instance, model, size(weights), size(sequence) * parallel, size(engine), waits)


def card(node: str, index: int, model: str, *shares: Share) -> CardUse:
    """A known card with these shares; of those that wait, the largest counts."""
    total, usable = CARDS[model]
    taken = sum(one.total for one in shares if not one.waits)
    taken += max((one.total for one in shares if one.waits), default=0)
    gpu = PlacedGpu(index, model, f"GPU-{node}-{index}", "cuda", total)
    return CardUse(node, gpu, size(total), size(usable), taken, shares)


def use(model: str, placed: Iterable[str], wanted: int | None = None, **more: object) -> ModelUse:
    """A known model, placed there."""
    weights, sequence, parallel, engine = MODELS[model]
    where = tuple(placed)
    need = Need(
        *(size(weights), size(sequence) * parallel, size(engine), size(0.2), size(weights), size(sequence), 1024)
    )
    serving = f"context 4096 x parallel {parallel}, f16"
    made = ModelUse(
        *(model, len(where) if wanted is None else wanted, where, need, serving),
        *("the shipped table", 0.0, parallel * len(where), None),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def fleet_of(placing: Placing, ram: float | None = 256, disk: float | None = 900) -> FleetPlan:
    """Host -> its cards, each a name and its models: a plan with instances, and what they take."""
    cards = [
        card(node, index, name, *(share(model, f"ollama-gpu{index}") for model in models))
        for node, own in placing.items()
        for index, (name, models) in enumerate(own)
    ]
    found: dict[str, list[str]] = {}
    for one in cards:
        for part in one.shares:
            found.setdefault(part.model, []).append(f"{one.node}/{part.instance}")
    hosts = tuple(_host_use(node, [c for c in cards if c.node == node], ram, disk) for node in placing)
    capacity = Capacity(tuple(cards), hosts, tuple(use(name, where) for name, where in found.items()))
    data = {node: host(gpus=[name for name, _ in own], models={}) for node, own in placing.items()}
    return replace(_with_models(make_plan(parse_fleet(data)), cards), capacity=capacity)


def _host_use(node: str, cards: Sequence[CardUse], ram: float | None, disk: float | None) -> HostUse:
    shares = [one for card in cards for one in card.shares]
    stored = {one.model: one.weights for one in shares}
    ram_bytes, disk_bytes = (None if gib is None else size(gib) for gib in (ram, disk))
    return HostUse(node, ram_bytes, size(0.2) * len(shares), disk_bytes, sum(stored.values()))


def _with_models(plan: FleetPlan, cards: Iterable[CardUse]) -> FleetPlan:
    on = {(one.node, one.gpu.index): tuple(part.model for part in one.shares) for one in cards}
    nodes = (
        replace(node, instances=tuple(replace(i, models=on[node.name, i.gpus[0].index]) for i in node.instances))
        for node in plan.nodes
    )
    return FleetPlan(tuple(nodes))


def changed(plan: FleetPlan, **parts: object) -> FleetPlan:
    """The plan with other parts of its capacity."""
    return replace(plan, capacity=replace(plan.capacity, **parts))  # type: ignore[arg-type]


def four_a30() -> FleetPlan:
    """One box: llama2:13b on each of four A30. Its loss takes the model away."""
    plan = fleet_of({"gpu1": [("A30", ["llama2:13b"])] * 4})
    return changed(plan, losses=(Loss("gpu1", None, ("llama2:13b",), {}, {}),))


def mixed_cards() -> FleetPlan:
    """2 x 4090 and a 3090: two models, one of them on demand, and one that fits nowhere."""
    plan = fleet_of({"box": [("RTX 4090", ["qwen2.5:32b"]), ("RTX 4090", ["mistral:7b"]), ("RTX 3090", [])]})
    first, second, third = plan.capacity.cards
    waiting = (share("mistral:7b", "ollama-gpu1"), *(share(m, "ollama-gpu1", True) for m in ("nomic-embed-text",)))
    second = card("box", 1, "RTX 4090", *waiting)
    refusal = Refusal(
        "llama2:70b",
        "models.llama2:70b: needs 41.2 GiB on one card and the largest leaves 23.6; lower `context`, or split it",
        ("3 cards in the fleet", "3 have the backend that ollama asks for", "0 leave 41.2 GiB (most: box/2, 23.6)"),
        ({"split": 2, "context": 2048}, {"quantization": "q2_K"}),
    )
    estimated, measured = plan.capacity.models
    models = (
        replace(
            estimated,
            known_from="its parameters",
            error=0.1,
            load=6,
            notes=("context 40960 is cut to the model's own 32768",),
        ),
        replace(measured, measured=size(8.6)),
        use("nomic-embed-text", ["box/ollama-gpu1"]),
    )
    losses = (
        Loss("box", None, ("qwen2.5:32b", "mistral:7b", "nomic-embed-text"), {}, {}),
        Loss("box", 0, ("qwen2.5:32b",), {}, {"mistral:7b": (4, 6)}),
    )
    return changed(plan, cards=(first, second, third), models=models, refusals=(refusal,), losses=losses)


def fifty() -> FleetPlan:
    """50 mixed hosts, 184 cards; none of them alone is missed."""
    placing: dict[str, Sequence[tuple[str, Sequence[str]]]] = {}
    for number in range(1, 51):
        if number <= 4:
            cards = [("H100", ["qwen2.5:32b", "llama2:13b", "mistral:7b"])] * 4 + [("H100", ["llama2:13b"])]
        elif number <= 12:
            cards = [("RTX 4090", ["mistral:7b", "nomic-embed-text"]), ("RTX 3090", ["qwen2.5:32b"])]
        elif number <= 48:
            cards = [("A30", ["llama2:13b"])] * 4
        else:
            cards = [("A30", [])] * 2
        placing[f"gpu{number}.example.net"] = cards
    return fleet_of(placing)


def laptop() -> FleetPlan:
    """A laptop without a card: its model runs on the CPU."""
    data = {"laptop": host(gpus=[], instances=[{"engine": "ollama"}], models={"mistral:7b": {"engine": "ollama"}})}
    hosts = (HostUse("laptop", size(16), size(9.0), None, size(4.1)),)
    models = (use("mistral:7b", ["laptop/ollama-cpu0"]),)
    losses = (Loss("laptop", None, ("mistral:7b",), {}, {}),)
    return replace(make_plan(parse_fleet(data)), capacity=Capacity((), hosts, models, (), losses))


FLEETS = {"four A30": four_a30, "mixed cards": mixed_cards, "fifty hosts": fifty, "laptop": laptop}
