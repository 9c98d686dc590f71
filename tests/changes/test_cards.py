"""Declared cards against those that a host has."""

from typing import Any

import pytest

from inferfleet.changes import cards
from inferfleet.placed import PlacedGpu

UUID = "GPU-1b6a7c1e-0d2f-4c3b-9a8e-00000000000{}"


def found(*names: str, driver: str = "580.82.07") -> list[dict[str, Any]]:
    cards = enumerate(names)
    return [{"index": i, "uuid": UUID.format(i), "name": n, "driver": driver, "memory_mib": 24576} for i, n in cards]


def declared(
    index: int = 0, model: str = "A30", uuid: str | None = None, backend: Any = "cuda", gib: float | None = None
) -> list[PlacedGpu]:
    return [PlacedGpu(index, model, uuid, backend, gib)]


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (declared(), found("NVIDIA A30")),
        (declared(model="RTX 4090"), found("NVIDIA GeForce RTX 4090")),
        (declared(model="A100"), found("NVIDIA A100-SXM4-80GB")),
        (declared(model="A100-SXM4-80GB"), found("NVIDIA A100-SXM4-80GB")),
        (declared(0, "A30", UUID.format(1)), found("NVIDIA T4", "NVIDIA A30")),
        (declared(backend="vulkan"), None),
        (declared(gib=24), found("NVIDIA A30")),
        (declared(gib=25.5), found("NVIDIA A30")),
        (declared(uuid="MIG-1b6a7c1e-0d2f-4c3b-9a8e-000000000000"), found("NVIDIA A30")),
    ],
)
def test_as_declared(wanted: list[PlacedGpu], there: list[dict[str, Any]] | None) -> None:
    assert cards(wanted, there).effects == ()


@pytest.mark.parametrize(
    ("wanted", "there", "why"),
    [
        (declared(), None, "1 NVIDIA cards are declared and nvidia-smi shows none; install the driver"),
        (declared(), found("NVIDIA A300"), "card 0 is declared as A30, it is a NVIDIA A300; correct the inventory"),
        (declared(gib=40), found("NVIDIA A30"), "card 0 is declared with 40 GiB, it has 24.0; correct the inventory"),
        (declared(3), found("NVIDIA A30"), "card 3 is declared, the host has 1; correct the inventory"),
        (
            declared(),
            found("NVIDIA A30", driver="470.1"),
            "its driver is 470.1, Ollama needs 550 or newer; update the driver",
        ),
        (
            declared(uuid=UUID.format(7)),
            found("NVIDIA A30"),
            f"card {UUID.format(7)} is declared, the host has {UUID.format(0)}; correct the inventory",
        ),
    ],
)
def test_refused(wanted: list[PlacedGpu], there: list[dict[str, Any]] | None, why: str) -> None:
    (effect,) = cards(wanted, there).effects
    assert (effect.kind, effect.why) == ("refuse", why)
