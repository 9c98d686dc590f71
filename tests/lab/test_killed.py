"""Kill -9 the apply at any moment: the next one ends in the same place."""

import random
import signal
import subprocess
import time

import pytest

from tests.lab.project import CPU_TWICE, Project

pytestmark = pytest.mark.lab

TIMES = 20
_delays = random.Random(20261125)


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    bare.hosts = {"cpu1": CPU_TWICE}
    return bare


@pytest.fixture(scope="module")
def whole_run_s(fleet: Project) -> float:
    """How long an apply on the bare host takes when nobody kills it."""
    begun = time.monotonic()
    run = fleet.apply()
    assert run.rc == 0, run.text
    return time.monotonic() - begun


def kill_after(fleet: Project, seconds: float) -> None:
    process = fleet.start("-y")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("moment", range(TIMES))
def test_killed_apply_heals(fleet: Project, whole_run_s: float, moment: int) -> None:
    # One moment in each twentieth of the run, so that every operation is hit.
    seconds = whole_run_s * (moment + _delays.random()) / TIMES
    fleet.host("cpu1").reset()
    kill_after(fleet, seconds)
    run = fleet.apply()
    assert run.rc == 0, f"after {seconds:.2f} s: {run.text}"
    again = fleet.apply()
    assert again.changes == {}, f"after {seconds:.2f} s: {again.text}"
    assert not [why for why in fleet.verify().values() if why]
