"""The facts about cards: an answer that cannot be read fails its host alone."""

import pytest
from pyinfra.api.exceptions import FactProcessError

from inferfleet import probe
from inferfleet.facts.gpus import GpuState, NvidiaSource
from tests.plan import machines


def test_the_question_is_the_probe() -> None:
    assert GpuState().command() == probe.command()
    assert GpuState().process(machines.text("4xa30").splitlines()) == machines.state("4xa30")


@pytest.mark.parametrize(
    "output",
    [[], ["sh: 1: Syntax error"], ["=== nvml", "{"], ["=== nvml", "[]"], ["=== nvml", '{"cards": [1]}']],
    ids=["nothing", "no sections", "half a line", "a list", "no card"],
)
def test_what_cannot_be_read(output: list[str]) -> None:
    with pytest.raises(FactProcessError, match="the host's answer about its cards cannot be read: "):
        GpuState().process(output)


def test_the_driver_s_source() -> None:
    assert NvidiaSource().process(["a banner", '{"text": null}']) == {"text": None}
    with pytest.raises(FactProcessError, match="is not JSON"):
        NvidiaSource().process(["Traceback"])
