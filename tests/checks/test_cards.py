"""Whether a container sees exactly its card."""

import copy
from typing import Any

import pytest

from inferfleet.checks.cards import sees_exactly

A, B = "GPU-aaaaaaaa-6815-5583-89e3-67de57363368", "GPU-bbbbbbbb-6815-5583-89e3-67de57363368"
SLICE = "MIG-dddddddd-6815-5583-89e3-67de57363368"
CAPS = ["/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"]
FOUND: dict[str, Any] = {
    "containers": {
        "ollama-gpu1": {
            "running": True,
            "cdi": [f"nvidia.com/gpu={B}"],
            "drivers": ["cdi"],
            "runtime": "runc",
            "privileged": False,
            "sees": ["/dev/nvidia1"],
            "opens": ["/dev/nvidia1"],
        }
    },
    "nodes": ["/dev/nvidia0", "/dev/nvidia1"],
    "specified": {
        "0": ["/dev/nvidia0"],
        "1": ["/dev/nvidia1"],
        A: ["/dev/nvidia0"],
        B: ["/dev/dri/card1", "/dev/nvidia1"],
        SLICE: ["/dev/nvidia1", *CAPS],
    },
}


def found(**changed: Any) -> dict[str, Any]:
    answer = copy.deepcopy(FOUND)
    answer["containers"]["ollama-gpu1"] |= changed
    return answer


def test_exactly_its_card() -> None:
    assert sees_exactly("ollama-gpu1", [B], found()) == ""
    assert sees_exactly("ollama-gpu1", [B], found(), {A: 0, B: 1}) == ""


def test_by_index() -> None:
    assert sees_exactly("ollama-gpu1", ["1"], found(cdi=["nvidia.com/gpu=1"])) == ""


def test_a_slice_has_nodes_of_its_own() -> None:
    given = {"cdi": [f"nvidia.com/gpu={SLICE}"], "sees": ["/dev/nvidia1", *CAPS]}
    assert sees_exactly("ollama-gpu1", [SLICE], found(**given, opens=["/dev/nvidia1", *CAPS])) == ""
    less = found(**given, opens=["/dev/nvidia1", CAPS[0]])
    assert sees_exactly("ollama-gpu1", [SLICE], less) == f"it cannot open {CAPS[1]}"


def test_no_card_at_all() -> None:
    assert sees_exactly("ollama-gpu1", [], found(cdi=[], sees=[], opens=[])) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"running": False}, "the container does not run"),
        ({"privileged": True}, "it is privileged and may open every card"),
        ({"runtime": "nvidia"}, "its runtime is nvidia, which gives it the cards that its image asks for"),
        ({"cdi": []}, f"it was given no card, declared is nvidia.com/gpu={B}"),
        ({"cdi": ["nvidia.com/gpu=all"]}, f"it was given nvidia.com/gpu=all, declared is nvidia.com/gpu={B}"),
        ({"error": "a card's node does not open within 20 s"}, "a card's node does not open within 20 s"),
        ({"sees": []}, f"it cannot see /dev/nvidia1 ({B})"),
        ({"sees": ["/dev/nvidia0", "/dev/nvidia1"]}, f"it can see /dev/nvidia0 ({A}) too"),
        ({"opens": []}, f"it cannot open /dev/nvidia1 ({B})"),
        ({"opens": ["/dev/nvidia0", "/dev/nvidia1"]}, f"it can open /dev/nvidia0 ({A}) too"),
        ({"sees": ["/dev/nvidia0"], "opens": ["/dev/nvidia0"]}, f"it cannot see /dev/nvidia1 ({B})"),
    ],
)
def test_anything_else(changed: dict[str, Any], reason: str) -> None:
    assert sees_exactly("ollama-gpu1", [B], found(**changed)) == reason


def test_no_such_container() -> None:
    assert sees_exactly("ollama-gpu7", [B], found()) == "there is no such container"


def test_a_stale_specification_does_not_pass() -> None:
    """Cards changed places: the container has the node that its file names, and another card behind it."""
    reason = sees_exactly("ollama-gpu1", [B], found(), {A: 1, B: 0})
    assert reason == f"the CDI specification gives /dev/dri/card1 /dev/nvidia1 as {B}, NVML says /dev/nvidia0"
    del (stale := found())["specified"][B]
    assert sees_exactly("ollama-gpu1", [B], stale) == f"the CDI specification does not name {B}"
