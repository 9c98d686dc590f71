"""Host data as pyinfra hands it over, with one thing changed: the words the cases are written in."""

from typing import Any

Hosts = dict[str, dict[str, Any]]
OLLAMA: dict[str, Any] = {"version": "0.32.15"}
LLAMA: dict[str, Any] = {"llama2:13b": {"engine": "ollama"}}
UUID = "GPU-8f1c2d3e-0000-4000-8000-00000000000{}"
DIGEST = "ab" * 32


def host(**data: Any) -> dict[str, Any]:
    """One host's data: a card, Ollama and a model, but for what is given."""
    return {"gpus": ["A30"], "engines": {"ollama": dict(OLLAMA)}, "models": dict(LLAMA), **data}


def fleet(**data: Any) -> Hosts:
    """A fleet of that one host."""
    return {"gpu1": host(**data)}


def ollama(**settings: Any) -> Hosts:
    """A fleet with these settings of Ollama."""
    return fleet(engines={"ollama": {**OLLAMA, **settings}})


def model(**settings: Any) -> Hosts:
    """A fleet with one model `m` of these settings; nobody knows it, so it says what it takes."""
    return fleet(models={"m": {"engine": "ollama", "vram_gib": 1, **settings}})


def models(**named: dict[str, Any]) -> Hosts:
    """A fleet with these models."""
    return fleet(models={name: {"engine": "ollama", "vram_gib": 1, **settings} for name, settings in named.items()})


def instances(*entries: Any, gpus: int = 2, **data: Any) -> Hosts:
    """A fleet of one host with two cards and these instances."""
    return fleet(gpus=["A30"] * gpus, instances=[{"engine": "ollama", **entry} for entry in entries], **data)
