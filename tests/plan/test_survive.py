"""What is lost with a host or a card."""

from typing import Any

from inferfleet.plan import plan_or_refuse
from inferfleet.plan.capacity import Loss
from inferfleet.spec import parse_fleet
from tests.spec.inventories import OLLAMA, Hosts, host


def _losses(hosts: Hosts) -> dict[tuple[str, int | None], Loss]:
    return {(loss.node, loss.card): loss for loss in plan_or_refuse(parse_fleet(hosts)).capacity.losses}


def _two(**model: Any) -> Hosts:
    models = {"m": {"engine": "ollama", "vram_gib": 1, **model}}
    engines = {"ollama": {**OLLAMA, "parallel": 4}}
    return {name: host(gpus=["A30"] * 2, engines=engines, models=models) for name in ("a", "b")}


def test_replicas_on_one_host_go_with_it() -> None:
    found = _losses(_two(replicas=2))
    assert found["a", None].gone == ("m",)
    assert found["a", 0].fewer == {"m": (1, 2)}
    assert ("b", None) not in found


def test_spread_keeps_one() -> None:
    found = _losses(_two(replicas=2, placement="spread"))
    assert [loss.gone for loss in found.values()] == [()] * 4
    assert found["a", None].fewer == {"m": (1, 2)}
    assert ("a", 1) not in found


def test_the_rest_must_carry_the_load() -> None:
    """Four replicas of four requests at once."""
    found = _losses(_two(load=13))
    assert found["a", 0].overloaded == {"m": (12, 13)}
    assert found["a", None].overloaded == {"m": (8, 13)}
    assert _losses(_two(load=12))["a", 0].overloaded == {}


def test_a_group_of_cards_goes_with_any_of_them() -> None:
    models = {"m": {"engine": "vllm", "vram_gib": 30, "tensor_parallel": 2, "pipeline_parallel": 2, "replicas": 1}}
    data = host(gpus=["A30"] * 2, engines={"vllm": {"version": "0.32.0"}}, models=models)
    found = _losses({"a": data, "b": data})
    assert {place for place, loss in found.items() if loss.gone == ("m",)} == {
        (node, card) for node in "ab" for card in (None, 0, 1)
    }
