"""An instance's environment: what it says, and what it says of its cards."""

from typing import Any

import pytest

from inferfleet.engines import ollama
from inferfleet.placed import Instance
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from inferfleet.spec.engine import OWNED_ENVIRONMENT
from tests.spec.inventories import LLAMA, OLLAMA, UUID, Hosts, fleet, models
from tests.spec.inventories import ollama as with_settings


def _instances(hosts: Hosts) -> tuple[Instance, ...]:
    return make_plan(parse_fleet(hosts)).nodes[0].instances


def _environment(hosts: Hosts, position: int = 0) -> dict[str, str]:
    return ollama.environment(_instances(hosts)[position])


def test_whole() -> None:
    """Every setting is written out, also those that are at Ollama's own default."""
    assert _environment(fleet(gpus=[{"model": "A30", "uuid": UUID.format(1)}])) == {
        "HOME": "/usr/share/ollama",
        "OLLAMA_HOST": "127.0.0.1:11434",
        "OLLAMA_MODELS": "/usr/share/ollama/.ollama/models",
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_MAX_LOADED_MODELS": "16",
        "OLLAMA_MAX_QUEUE": "512",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_LOAD_TIMEOUT": "5m",
        "OLLAMA_CONTEXT_LENGTH": "4096",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_KV_CACHE_TYPE": "f16",
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_NO_CLOUD": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": UUID.format(1),
        "ROCR_VISIBLE_DEVICES": "-1",
        "GGML_VK_VISIBLE_DEVICES": "-1",
    }


SETTINGS: list[tuple[dict[str, Any], str, str]] = [
    ({"host": "0.0.0.0", "port": 9999}, "OLLAMA_HOST", "0.0.0.0:9999"),
    ({"host": "::1"}, "OLLAMA_HOST", "[::1]:11434"),
    ({"models_dir": "/srv/ollama/models"}, "OLLAMA_MODELS", "/srv/ollama/models"),
    ({"parallel": 4}, "OLLAMA_NUM_PARALLEL", "4"),
    ({"max_loaded_models": 3}, "OLLAMA_MAX_LOADED_MODELS", "3"),
    ({"max_queue": 7}, "OLLAMA_MAX_QUEUE", "7"),
    ({"keep_alive": "5m"}, "OLLAMA_KEEP_ALIVE", "5m"),
    ({"keep_alive": 0}, "OLLAMA_KEEP_ALIVE", "0s"),
    ({"load_timeout": "forever"}, "OLLAMA_LOAD_TIMEOUT", "-1"),
    ({"context": 2048}, "OLLAMA_CONTEXT_LENGTH", "2048"),
    ({"flash_attention": False}, "OLLAMA_FLASH_ATTENTION", "0"),
    ({"kv_cache_type": "q8_0"}, "OLLAMA_KV_CACHE_TYPE", "q8_0"),
    ({"environment": {"HTTPS_PROXY": "http://p:3128"}}, "HTTPS_PROXY", "http://p:3128"),
]


@pytest.mark.parametrize(("settings", "name", "value"), SETTINGS, ids=lambda value: str(value))
def test_settings(settings: dict[str, Any], name: str, value: str) -> None:
    assert _environment(with_settings(**settings))[name] == value


@pytest.mark.parametrize(("per", "said"), [("card", None), ("node", "1")])
def test_several_cards_share_each_model(per: str, said: str | None) -> None:
    """As it is planned, whatever Ollama believes to fit on one of them."""
    found = _environment(fleet(gpus=["A30"] * 2, engines={"ollama": {**OLLAMA, "per": per}}))
    assert found.get("OLLAMA_SCHED_SPREAD") == said


def test_another_model_restarts_nothing() -> None:
    assert _environment(models(a={}, b={}, c={})) == _environment(fleet(models={}))


VULKAN = {"model": "Arc", "backend": "vulkan", "vram_gib": 48}
CARDS: dict[str, tuple[list[Any], str, tuple[str, str]]] = {
    "by uuid": ([{"model": "A30", "uuid": UUID.format(1)}], "node", (UUID.format(1), "-1")),
    "several by uuid": (
        [{"model": "A30", "uuid": UUID.format(n)} for n in (2, 1)],
        "node",
        (f"{UUID.format(2)},{UUID.format(1)}", "-1"),
    ),
    "by index": (["A30", "A30"], "node", ("0,1", "-1")),
    "by index where one has no uuid": (["A30", {"model": "A30", "uuid": UUID.format(1)}], "node", ("0,1", "-1")),
    "vulkan by index": ([VULKAN], "node", ("-1", "0")),
    "no card": ([], "node", ("-1", "-1")),
}


@pytest.mark.parametrize(("cards", "per", "seen"), CARDS.values(), ids=CARDS)
def test_cards(cards: list[Any], per: str, seen: tuple[str, str]) -> None:
    found = _environment(fleet(gpus=cards, engines={"ollama": {**OLLAMA, "per": per}}))
    assert (found["CUDA_VISIBLE_DEVICES"], found["GGML_VK_VISIBLE_DEVICES"]) == seen
    assert found["ROCR_VISIBLE_DEVICES"] == "-1"
    assert ("CUDA_DEVICE_ORDER" in found) is (seen[0] != "-1")


def test_each_card_is_seen_by_one_instance() -> None:
    hosts = fleet(gpus=["A30"] * 4, models=LLAMA)
    seen = [ollama.environment(instance)["CUDA_VISIBLE_DEVICES"] for instance in _instances(hosts)]
    assert seen == ["0", "1", "2", "3"]


def test_what_settings_own_cannot_be_given_by_hand() -> None:
    """All but what is ours alone to decide is refused in `environment`, so no name is written twice."""
    ours = set(_environment(fleet())) - {"OLLAMA_NO_CLOUD"}
    assert ours <= set(OWNED_ENVIRONMENT)
