"""Placement: cases as data. A plan is written as `node/instance@port cards: models`."""

import time
from typing import Any

import pytest

from inferfleet.errors import SpecError
from inferfleet.plan import FleetPlan, make_plan, plan_or_refuse
from inferfleet.plan.show import as_data, rows
from inferfleet.spec import parse_fleet
from tests.spec.inventories import LLAMA, OLLAMA, UUID, Hosts, fleet, host, instances, models


def _plan(hosts: Hosts) -> FleetPlan:
    return make_plan(parse_fleet(hosts))


def _lines(plan: FleetPlan) -> list[str]:
    return [
        f"{i.node}/{i.name}@{i.port} {','.join(str(g.index) for g in i.gpus) or 'cpu'}: {' '.join(i.models)}".rstrip()
        for node in plan.nodes
        for i in node.instances
    ]


def _ollama(**settings: Any) -> dict[str, Any]:
    return {"ollama": {**OLLAMA, **settings}}


def _models(settings: dict[str, Any] | None = None, **replicas: Any) -> dict[str, Any]:
    common = {"engine": "ollama", "vram_gib": 1, **(settings or {})}
    return {name: {**common, "replicas": count} for name, count in replicas.items()}


def _nodes(cards: dict[str, int], **data: Any) -> Hosts:
    return {name: host(gpus=["A30"] * count, **data) for name, count in cards.items()}


CASES: dict[str, tuple[Hosts, list[str]]] = {
    "one card, one instance": (fleet(), ["gpu1/ollama-gpu0@11434 0: llama2:13b"]),
    "an instance for each card, ports in order": (
        fleet(gpus=["A30"] * 3, engines=_ollama(port=12000)),
        [f"gpu1/ollama-gpu{n}@{12000 + n} {n}: llama2:13b" for n in range(3)],
    ),
    "one instance for the node": (
        fleet(gpus=["A30"] * 3, engines=_ollama(per="node")),
        ["gpu1/ollama@11434 0,1,2: llama2:13b"],
    ),
    "one instance for a node without cards": (
        fleet(gpus=[], engines=_ollama(per="node")),
        ["gpu1/ollama@11434 cpu: llama2:13b"],
    ),
    "no cards, no instances": (fleet(gpus=[], models={}), []),
    "no instances at all, said so": (fleet(instances=[], models={}), []),
    "instances by hand": (
        instances({"gpus": [1, 0], "name": "big"}, {"port": 12000}, {}, gpus=2),
        [
            "gpu1/big@11434 0,1: llama2:13b",
            "gpu1/ollama-cpu0@12000 cpu: llama2:13b",
            "gpu1/ollama-cpu1@11436 cpu: llama2:13b",
        ],
    ),
    "a name follows its cards, not its place": (
        instances({"gpus": [2]}, {"gpus": [0, 1]}, gpus=3),
        ["gpu1/ollama-gpu2@11434 2: llama2:13b", "gpu1/ollama-gpu0-gpu1@11435 0,1: llama2:13b"],
    ),
    "no models": (fleet(models={}), ["gpu1/ollama-gpu0@11434 0:"]),
    "all replicas on all nodes": (
        _nodes({"a": 1, "b": 2}),
        ["a/ollama-gpu0@11434 0: llama2:13b", "b/ollama-gpu0@11434 0: llama2:13b", "b/ollama-gpu1@11435 1: llama2:13b"],
    ),
    "hosts are filled in order": (
        _nodes({"a": 2, "b": 2}, models=_models(m=2)),
        ["a/ollama-gpu0@11434 0: m", "a/ollama-gpu1@11435 1: m", "b/ollama-gpu0@11434 0:", "b/ollama-gpu1@11435 1:"],
    ),
    "spread: a lost host costs one replica": (
        _nodes({"a": 2, "b": 2}, models=_models({"placement": "spread"}, m=2)),
        ["a/ollama-gpu0@11434 0: m", "a/ollama-gpu1@11435 1:", "b/ollama-gpu0@11434 0: m", "b/ollama-gpu1@11435 1:"],
    ),
    "on: a host, a card, an instance": (
        _nodes(
            {"a": 2, "b": 2},
            models={
                **_models({"on": ["b"]}, host=1),
                **_models({"on": ["b/0"]}, card=1),
                **_models({"on": ["a/ollama-gpu1"]}, one=1),
                **_models({"on": ["a/1", "b/1"]}, both="all"),
            },
        ),
        [
            "a/ollama-gpu0@11434 0:",
            "a/ollama-gpu1@11435 1: one both",
            "b/ollama-gpu0@11434 0: host card",
            "b/ollama-gpu1@11435 1: both",
        ],
    ),
    "pack: the fullest card that it fits on": (
        _nodes({"a": 2}, models=_models({"placement": "pack"}, m=1, n=1, o=1)),
        ["a/ollama-gpu0@11434 0: m n o", "a/ollama-gpu1@11435 1:"],
    ),
    "fitting: every card that it fits on": (
        {"a": host(gpus=["A30", "P4", "A30"], models=_models({"vram_gib": 12}, m="fitting"))},
        ["a/ollama-gpu0@11434 0: m", "a/ollama-gpu1@11435 1:", "a/ollama-gpu2@11436 2: m"],
    ),
    "a card is better than the CPU": (
        {
            "a": host(
                gpus=["A30"], instances=[{"engine": "ollama"}, {"engine": "ollama", "gpus": [0]}], models=_models(m=1)
            )
        },
        ["a/ollama-cpu0@11434 cpu:", "a/ollama-gpu0@11435 0: m"],
    ),
    "then over cards of a node": (
        _nodes({"a": 2, "b": 1}, models=_models(m=3)),
        ["a/ollama-gpu0@11434 0: m", "a/ollama-gpu1@11435 1: m", "b/ollama-gpu0@11434 0: m"],
    ),
    "spread goes to the emptiest card of each host": (
        _nodes({"a": 2, "b": 1}, models=_models({"placement": "spread"}, m=2, n=2, o=2)),
        ["a/ollama-gpu0@11434 0: m o", "a/ollama-gpu1@11435 1: n", "b/ollama-gpu0@11434 0: m n o"],
    ),
    "the emptiest instance takes the next model": (
        _nodes({"a": 2}, models=_models(m=1, n=1, o=1)),
        ["a/ollama-gpu0@11434 0: m o", "a/ollama-gpu1@11435 1: n"],
    ),
    "a model on all counts as load": (
        _nodes({"a": 1, "b": 1}, models=_models(m=1, n="all", o=1)),
        ["a/ollama-gpu0@11434 0: m n o", "b/ollama-gpu0@11434 0: n"],
    ),
    "a node without the engine takes no models": (
        {"a": host(gpus=["A30"]), "b": host(gpus=["A30"], engines={})},
        ["a/ollama-gpu0@11434 0: llama2:13b"],
    ),
    "engines differ by group": (
        {"a": host(), "b": host(engines=_ollama(port=9000, per="node"))},
        ["a/ollama-gpu0@11434 0: llama2:13b", "b/ollama@9000 0: llama2:13b"],
    ),
}


@pytest.mark.parametrize(("hosts", "lines"), CASES.values(), ids=CASES)
def test_placement(hosts: Hosts, lines: list[str]) -> None:
    assert _lines(_plan(hosts)) == lines


@pytest.mark.parametrize("hosts", [hosts for hosts, _ in CASES.values()], ids=CASES)
def test_same_fleet_same_plan(hosts: Hosts) -> None:
    assert _plan(hosts) == _plan(hosts)


def _places(plan: FleetPlan) -> dict[str, tuple[str, ...]]:
    return {use.name: use.placed for use in plan.capacity.models}


@pytest.mark.parametrize("placement", ["balance", "pack", "spread"])
def test_what_is_appended_moves_nothing(placement: str) -> None:
    """Not a model, not a host, also where what is there has no place left."""
    cards, counts = {"a": 2, "b": 1, "c": 3}, {"m": 2, "n": 3, "o": 1}
    settings = {"placement": placement, "vram_gib": 9}
    before = _places(plan_or_refuse(parse_fleet(_nodes(cards, models=_models(settings, **counts)))))
    model = _places(plan_or_refuse(parse_fleet(_nodes(cards, models=_models(settings, **counts, p=4)))))
    hosts = _places(plan_or_refuse(parse_fleet(_nodes({**cards, "d": 4}, models=_models(settings, **counts)))))
    for name, places in before.items():
        assert model[name] == places
        assert hosts[name][: len(places)] == places


def test_a_host_added_at_the_end_moves_no_name_and_no_port() -> None:
    before = _plan(_nodes({"a": 2}, models=_models(m=2)))
    after = _plan(_nodes({"a": 2, "b": 1}, models=_models(m=2)))
    assert before.nodes[0].instances == after.nodes[0].instances


def test_every_mistake_of_placement_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        _plan(_nodes({"a": 1}, models=_models(m=2, n=1, o=3)))
    assert [line.split(":")[0] for line in raised.value.mistakes] == ["models.m", "models.o"]


def test_models_of_a_node_come_after_their_sources() -> None:
    """A model made from a declared one needs that one in the store, also where only the first is placed."""
    data = models(c={"source": "b", "system": "C"}, b={"source": "a", "system": "B"}, a={"replicas": 1}, z={})
    data["gpu1"]["models"]["c"]["replicas"] = 1
    (node,) = _plan(data).nodes
    names = [model.name for model in node.models]
    assert names.index("a") < names.index("b") < names.index("c")
    assert sorted(names) == ["a", "b", "c", "z"]


def test_sources_follow_their_models_to_the_node() -> None:
    declared = {
        "base": {"engine": "ollama", "vram_gib": 1, "replicas": 1},
        "own": {"engine": "ollama", "vram_gib": 1, "source": "base", "system": "x"},
    }
    plan = _plan(_nodes({"a": 1, "b": 1}, models=declared))
    assert [[model.name for model in node.models] for node in plan.nodes] == [["base", "own"], ["base", "own"]]
    assert [node.instances[0].models for node in plan.nodes] == [("base", "own"), ("own",)]


def test_addresses() -> None:
    hosts = {name: host(engines=_ollama(host=address)) for name, address in {"a": "10.0.0.1", "b": "::1"}.items()}
    assert [node.instances[0].address for node in _plan(hosts).nodes] == ["10.0.0.1:11434", "[::1]:11434"]


def test_a_large_fleet_is_planned_in_no_time() -> None:
    """64 hosts with 8 cards: quadratic (0.2 s) is fine, cubic (minutes) is not."""
    started = time.process_time()
    plan = _plan(_nodes({f"gpu{n}": 8 for n in range(64)}, models=_models(m="all", n=512, o=100)))
    counts = [sum(name in i.models for node in plan.nodes for i in node.instances) for name in "mno"]
    assert counts == [512, 512, 100]
    assert time.process_time() - started < 10


def test_as_data_and_rows() -> None:
    plan = _plan(fleet(gpus=[{"model": "A30", "uuid": UUID.format(1)}], models=LLAMA))
    assert as_data(plan)["nodes"] == [
        {
            "name": "gpu1",
            "models": ["llama2:13b"],
            "instances": [
                {
                    "name": "ollama-gpu0",
                    "engine": "ollama",
                    "version": "0.32.15",
                    "address": "127.0.0.1:11434",
                    "gpus": [{"index": 0, "model": "A30", "uuid": UUID.format(1)}],
                    "models": ["llama2:13b"],
                }
            ],
        }
    ]
    assert rows(plan) == [("gpu1", "ollama-gpu0", "ollama 0.32.15", "0: A30", "127.0.0.1:11434", "llama2:13b")]
