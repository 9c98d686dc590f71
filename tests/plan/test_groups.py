"""Engines with a model of their own: groups of cards, written as `host/name@port cards`."""

from typing import Any

import pytest

from inferfleet.errors import SpecError
from inferfleet.placed import Server
from inferfleet.plan import make_plan, plan_or_refuse
from inferfleet.spec import parse_fleet
from tests.spec.inventories import Hosts, host

VLLM = {"vllm": {"version": "0.32.0", "parallel": 4}}
QWEN = {"engine": "vllm", "source": "hf:Qwen/Qwen2.5-7B-Instruct", "context": 4096}


def _servers(hosts: Hosts) -> tuple[Server, ...]:
    return plan_or_refuse(parse_fleet(hosts)).servers


def _lines(hosts: Hosts) -> list[str]:
    return [
        f"{server.address} {server.name}: "
        + " ".join(f"{node}/{','.join(str(gpu.index) for gpu in gpus)}" for node, gpus in server.parts)
        for server in _servers(hosts)
    ]


def _hosts(models: dict[str, Any], **gpus: Any) -> Hosts:
    return {name: host(**{"engines": VLLM, "models": models, **data}) for name, data in gpus.items()}


FOUR = {"gpus": ["A30"] * 4}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "lmdeploy"])
@pytest.mark.parametrize("gib", [1e-300, 1, 23, 23.44, 23.4375])  # an empty A30 leaves 23.44
def test_a_size_in_one_number_has_options_that_the_engine_takes(engine: str, gib: float) -> None:
    model = {"engine": engine, "vram_gib": gib}
    plan = plan_or_refuse(parse_fleet(_hosts({"m": model}, a={**FOUR, "engines": {engine: {"version": "0.9.0"}}})))
    assert len(plan.servers) == (gib <= 23)
    assert all(0 < float(value) <= 1 for server in plan.servers for value in server.flags.values())


def test_ports_that_are_used_up() -> None:
    hosts = _hosts({"m": {**QWEN, "replicas": 2}}, a={**FOUR, "engines": {"vllm": {**VLLM["vllm"], "port": 65535}}})
    (refusal,) = plan_or_refuse(parse_fleet(hosts)).capacity.refusals
    assert refusal.steps == ("3 cards are on a host with no port left from 65535 on",)


@pytest.mark.parametrize("settings", [{"context": 10**400}, {"parallel": 10**400}])
def test_numbers_beyond_all_sense(settings: dict[str, int]) -> None:
    with pytest.raises(SpecError, match=r"^models\.m\.\w+: is too large"):
        _servers(_hosts({"m": {**QWEN, **settings}}, a=FOUR))


@pytest.mark.parametrize("settings", [{"vram_budget_gib": 1e300}, {"parallel": 10**400}, {"version": "9" * 5000}])
def test_engines_beyond_all_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"^engines\.vllm\.\w+: is "):
        _servers(_hosts({"m": QWEN}, a={**FOUR, "engines": {"vllm": {**VLLM["vllm"], **settings}}}))


CASES: dict[str, tuple[Hosts, list[str]]] = {
    "a replica for itself, one where none is asked for": (
        _hosts({"m": QWEN}, a=FOUR), ["127.0.0.1:8000 vllm-m-gpu0: a/0"],
    ),
    "ports follow each other, names follow model and cards": (
        _hosts({"Team/M": {**QWEN, "replicas": 2}}, a=FOUR),
        ["127.0.0.1:8000 vllm-team-m-gpu0: a/0", "127.0.0.1:8001 vllm-team-m-gpu1: a/1"],
    ),
    "as many as fit": (
        _hosts({"m": {**QWEN, "tensor_parallel": 2, "replicas": "fitting"}}, a=FOUR, b={"gpus": ["A30"]}),
        ["127.0.0.1:8000 vllm-m-gpu0-gpu1: a/0,1", "127.0.0.1:8001 vllm-m-gpu2-gpu3: a/2,3"],
    ),
    "cards with NVLink among them come first": (
        _hosts({"m": {**QWEN, "tensor_parallel": 2, "replicas": 2}}, a={**FOUR, "nvlink": [[1, 3], [0, 2]]}),
        ["127.0.0.1:8000 vllm-m-gpu1-gpu3: a/1,3", "127.0.0.1:8001 vllm-m-gpu0-gpu2: a/0,2"],
    ),
    "cards of one kind": (
        _hosts({"m": {**QWEN, "tensor_parallel": 2}}, a={"gpus": ["A30", "RTX 4090", "A30"]}),
        ["127.0.0.1:8000 vllm-m-gpu0-gpu2: a/0,2"],
    ),
    "two models on one card": (
        _hosts({"m": QWEN, "n": {**QWEN, "source": "hf:Qwen/Qwen2.5-0.5B-Instruct", "on": ["a/0"]}},
               a={"gpus": ["A100 80GB", "A30"]}),
        ["127.0.0.1:8000 vllm-m-gpu0: a/0", "127.0.0.1:8001 vllm-n-gpu0: a/0"],
    ),
    "replicas spread over hosts": (
        _hosts({"m": {**QWEN, "replicas": 2, "placement": "spread"}}, a=FOUR, b=FOUR),
        ["127.0.0.1:8000 vllm-m-gpu0: a/0", "127.0.0.1:8000 vllm-m-gpu0: b/0"],
    ),
    "a pipeline on one host": (
        _hosts({"m": {**QWEN, "tensor_parallel": 2, "pipeline_parallel": 2}}, a=FOUR),
        ["127.0.0.1:8000 vllm-m-gpu0-gpu1-gpu2-gpu3: a/0,1,2,3"],
    ),
    "a pipeline over hosts, the first of which has the port": (
        _hosts({"m": {**QWEN, "tensor_parallel": 2, "pipeline_parallel": 2}}, a={"gpus": ["A30"] * 3}, b=FOUR),
        ["127.0.0.1:8000 vllm-m-gpu0-gpu1-gpu2-gpu3: b/0,1,2,3"],
    ),
    "on a host, on a card": (
        _hosts({"m": {**QWEN, "on": ["b"]}, "n": {**QWEN, "on": ["b/2"]}}, a=FOUR, b=FOUR),
        ["127.0.0.1:8000 vllm-m-gpu0: b/0", "127.0.0.1:8001 vllm-n-gpu2: b/2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("hosts", "lines"), CASES.values(), ids=CASES)
def test_groups(hosts: Hosts, lines: list[str]) -> None:
    assert _lines(hosts) == lines


def test_what_is_planned_is_what_the_engine_is_told() -> None:
    """Weights, cache and the rest are the whole budget; the flag is the budget as a share of the card."""
    plan = plan_or_refuse(parse_fleet(_hosts({"m": QWEN}, a={"gpus": ["A30"]})))
    (card,) = plan.capacity.cards
    fraction = float(plan.servers[0].flags["--gpu-memory-utilization"])
    assert fraction == pytest.approx(card.taken / card.usable, abs=1e-5)
    assert card.shares[0].total == card.taken


def test_a_budget_is_taken_whole() -> None:
    engines = {"vllm": {**VLLM["vllm"], "vram_budget_gib": 21}}
    plan = plan_or_refuse(parse_fleet(_hosts({"m": QWEN}, a={"gpus": ["A30"], "engines": engines})))
    (card,) = plan.capacity.cards
    assert card.taken == 21 * 1024**3


def test_planned_is_not_set_up() -> None:
    with pytest.raises(
        SpecError, match=r"models\.m: vllm is planned, and not set up by this version; serve it with ollama"
    ):
        make_plan(parse_fleet(_hosts({"m": QWEN}, a=FOUR)))
