"""Single fleets that random ones found: each was planned wrongly once."""

from typing import Any

from inferfleet.plan import FleetPlan, plan_or_refuse
from inferfleet.spec import parse_fleet
from tests.spec.inventories import OLLAMA

VLLM = {"version": "0.11.0"}


def _plan(hosts: dict[str, Any], models: dict[str, Any], **engines: Any) -> FleetPlan:
    own = {"ollama": OLLAMA, "vllm": VLLM, **engines}
    return plan_or_refuse(
        parse_fleet({name: {"engines": own, "models": models, **host} for name, host in hosts.items()})
    )


def _placed(plan: FleetPlan) -> dict[str, tuple[str, ...]]:
    return {use.name: use.placed for use in plan.capacity.models}


def _vllm(gib: float, **settings: Any) -> dict[str, Any]:
    return {"engine": "vllm", "vram_gib": gib, "replicas": 1, **settings}


def test_engines_with_one_model_count_their_hosts_disk() -> None:
    plan = _plan({"a": {"gpus": ["A30"], "disk_gib": 10}, "b": {"gpus": ["A30"]}}, {"m": _vllm(8), "n": _vllm(8)})
    assert _placed(plan) == {"m": ("a/vllm-m-gpu0",), "n": ("b/vllm-n-gpu0",)}
    plan = _plan({"a": {"gpus": ["A30"], "disk_gib": 10}}, {"m": _vllm(8), "n": _vllm(8)})
    (refusal,) = plan.capacity.refusals
    assert refusal.steps == ("1 card is on a host with no disk left",)


def test_a_replica_over_hosts_takes_each_hosts_own_budget_only() -> None:
    """A card that was free for 4 GiB on its host must not be taken for the 20 of another's settings."""
    budget = {"vllm": {**VLLM, "vram_budget_gib": 20.0}}
    hosts = {"a": {"gpus": ["P4"]}, "b": {"gpus": ["A30"], "engines": budget}}
    plan = _plan(hosts, {"m": _vllm(8, pipeline_parallel=2)})
    assert all(card.taken <= card.usable for card in plan.capacity.cards)
    assert _placed(plan) == {"m": ()}


def test_all_stays_on_single_hosts_so_that_a_new_host_moves_nothing() -> None:
    models = {"m": _vllm(20, pipeline_parallel=2, replicas="fitting"), "n": _vllm(12)}
    hosts = {"a": {"gpus": ["A30"] * 3}}
    before = _placed(_plan(hosts, models))
    assert before == {"m": ("a/vllm-m-gpu0-gpu1",), "n": ("a/vllm-n-gpu2",)}
    assert _placed(_plan({**hosts, "b": {"gpus": ["A30"]}}, models)) == before


def test_models_that_take_turns_fit_where_nothing_is_free() -> None:
    turns = {"ollama": {**OLLAMA, "keep_alive": "5m"}}
    models = {name: {"engine": "ollama", "vram_gib": 20, "replicas": 1} for name in "mn"}
    assert not _plan({"a": {"gpus": ["A30"], "engines": turns}}, models).capacity.refusals


def test_all_that_is_spread_is_one_on_each_host() -> None:
    models = {"m": {"engine": "ollama", "vram_gib": 8, "placement": "spread"}}
    plan = _plan({"a": {"gpus": ["P4", "A30"]}, "b": {"gpus": ["A30", "A30"]}}, models)
    assert _placed(plan) == {"m": ("a/ollama-gpu1", "b/ollama-gpu0")}
    (refusal,) = _plan({"a": {"gpus": ["P4", "P4"]}, "b": {"gpus": ["A30"]}}, models).capacity.refusals
    assert refusal.line.startswith("models.m: 1 of 2 replicas: ")


def test_a_single_card_is_the_emptiest_whatever_is_linked_or_first() -> None:
    hosts = {"a": {"gpus": ["T4", "T4", "A30"], "nvlink": [[0, 1]]}}
    assert _placed(_plan(hosts, {"m": _vllm(5)})) == {"m": ("a/vllm-m-gpu2",)}
    assert _placed(_plan(hosts, {"m": _vllm(5, placement="pack")})) == {"m": ("a/vllm-m-gpu0",)}
    assert _placed(_plan(hosts, {"m": _vllm(10, tensor_parallel=2)})) == {"m": ("a/vllm-m-gpu0-gpu1",)}
