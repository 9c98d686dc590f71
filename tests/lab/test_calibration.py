"""What a model took of a card, measured by `verify`, shown by `plan`."""

import json
from typing import Any

import pytest

from tests.lab.project import CPU_TWICE, GPU, Project

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    bare.hosts = {"gpu1": GPU, "cpu1": CPU_TWICE}
    run = bare.apply()
    assert run.rc == 0, run.text
    return bare


def _use(fleet: Project) -> dict[str, Any]:
    done = fleet.inferfleet("plan", "--json")
    assert done.returncode == 0, done.stderr
    (use,) = json.loads(done.stdout)["capacity"]["models"]
    return dict(use)


def test_what_verify_measures_the_plan_shows(fleet: Project) -> None:
    path = fleet.directory / "calibration.json"
    assert fleet.inferfleet("verify").returncode == 0
    assert not path.exists(), "nobody asked for it"
    assert _use(fleet)["measured_bytes"] is None

    done = fleet.inferfleet("verify", "--calibrate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.startswith("wrote calibration.json: tiny:latest takes 0."), done.stderr
    (entry,) = json.loads(path.read_text())["measurements"]  # of the CPU's copies there is none
    assert (entry["card"], entry["cards"], entry["measured_by"]) == ("llvmpipe 4 GiB", 1, "ollama")
    assert (entry["version"], entry["context"], entry["parallel"]) == ("0.32.15", 4096, 4)

    use = _use(fleet)
    assert (use["measured_bytes"], use["measured_by"]) == (entry["peak_bytes"], "ollama")
    copy = use["copy"]
    buffers = entry["peak_bytes"] - copy["weights_bytes"] - copy["kv_cache_bytes"]
    assert 0 < buffers <= copy["engine_per_card_bytes"], (entry, copy)
    assert " GiB by Ollama's own count" in fleet.inferfleet("plan").stdout


def test_a_second_verify_does_not_touch_it(fleet: Project) -> None:
    path = fleet.directory / "calibration.json"
    before = path.stat()
    assert fleet.inferfleet("verify").returncode == 0
    done = fleet.inferfleet("verify", "--calibrate")
    assert done.stderr == "calibration.json: nothing new was measured\n"
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
