"""What nvidia-smi says, read; the outputs are of the form in NVIDIA's help (`--query-gpu`, csv, noheader, nounits)."""

import pytest
from pyinfra.api.exceptions import FactProcessError

from inferfleet.facts.nvidia import NvidiaCards

A30 = "0, GPU-1b6a7c1e-0d2f-4c3b-9a8e-000000000000, NVIDIA A30, 580.82.07, 24576"


def test_cards_are_read() -> None:
    cards = NvidiaCards().process([A30, ""])
    assert cards == [
        {
            "index": 0,
            "uuid": "GPU-1b6a7c1e-0d2f-4c3b-9a8e-000000000000",
            "name": "NVIDIA A30",
            "driver": "580.82.07",
            "memory_mib": 24576,
        }
    ]


@pytest.mark.parametrize("said", ["[N/A]", "[Not Supported]"])
def test_a_card_that_shares_the_hosts_memory(said: str) -> None:
    """GB10, Jetson: no reason to refuse the host."""
    (card,) = NvidiaCards().process([A30.replace("24576", said)]) or []
    assert card["memory_mib"] is None


@pytest.mark.parametrize("output", [[], [""]])
def test_no_driver_is_none(output: list[str]) -> None:
    assert NvidiaCards().process(output) is None


@pytest.mark.parametrize("line", ["NVIDIA-SMI has failed", "zero, GPU-x, A30, 580, 24576"])
def test_junk_fails_the_host_alone(line: str) -> None:
    with pytest.raises(FactProcessError, match="cannot be read"):
        NvidiaCards().process([line])


def test_memory_that_the_card_does_not_say_is_none() -> None:
    (card,) = NvidiaCards().process(["0, GPU-x, NVIDIA GB10, 580.95, [N/A]"]) or []
    assert card["memory_mib"] is None
