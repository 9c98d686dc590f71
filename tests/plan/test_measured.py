"""What was measured stands beside what is estimated, and moves nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from inferfleet import calibration
from inferfleet.calibration import Measurement, Setting
from inferfleet.cli import main
from inferfleet.plan import FleetPlan, plan_or_refuse
from inferfleet.plan.views import words
from inferfleet.spec import parse_fleet
from tests.spec.inventories import DIGEST, LLAMA, OLLAMA, fleet

GIB = 1024**3
ENGINES = {"ollama": {**OLLAMA, "parallel": 4}}
SETTING = Setting("ollama", "0.32.15", 4096, 4, "f16", True, None, "A30", 1)
MEASURED = Measurement("llama2:13b", f"sha256:{DIGEST}", None, SETTING, int(19.6 * GIB), "nvml", "2026-01-31")
INVENTORY = f'gpu = [("gpu1", {{"gpus": ["A30"], "engines": {ENGINES!r}, "models": {LLAMA!r}}})]\n'


def _plan(
    *measured: Measurement, models: dict[str, object] | None = None, gpus: tuple[str, ...] = ("A30",)
) -> FleetPlan:
    return plan_or_refuse(parse_fleet(fleet(engines=ENGINES, models=models or LLAMA, gpus=list(gpus))), measured)


def test_it_is_shown_beside_the_estimate() -> None:
    (use,) = _plan(MEASURED).capacity.models
    assert (use.measured, use.measured_by) == (MEASURED.peak_bytes, "nvml")
    assert words.notes(use)[-1] == "estimated 19.8, measured 19.6 GiB"
    (use,) = _plan(replace(MEASURED, measured_by="ollama")).capacity.models
    assert words.notes(use)[-1] == (
        "estimated 19.8, measured 19.6 GiB by Ollama's own count, without the driver's part"
    )


def test_both_are_of_all_cards_together() -> None:
    split = replace(MEASURED, setting=replace(SETTING, cards=2))
    hosts = fleet(engines={"ollama": {**ENGINES["ollama"], "per": "node"}}, gpus=["A30"] * 2)
    (use,) = plan_or_refuse(parse_fleet(hosts), [split]).capacity.models
    assert use.need
    assert words.notes(use)[-1] == f"estimated {use.need.total / GIB:.1f}, measured 19.6 GiB"


def test_nothing_is_placed_by_it() -> None:
    far_more = _plan(replace(MEASURED, peak_bytes=1000 * GIB))
    none = _plan()
    (use,) = far_more.capacity.models
    same = replace(far_more.capacity, models=(replace(use, measured=None, measured_by=None),))
    assert replace(far_more, capacity=same) == none


def test_the_first_replicas_card_counts() -> None:
    assert _plan(MEASURED, gpus=("A30", "RTX 4090")).capacity.models[0].measured
    assert _plan(MEASURED, gpus=("RTX 4090", "A30")).capacity.models[0].measured is None


def test_other_weights_are_another_model() -> None:
    def measured(pin: str) -> int | None:
        return _plan(MEASURED, models={"llama2:13b": {"engine": "ollama", "pin": pin}}).capacity.models[0].measured

    assert measured(f"sha256:{DIGEST}")
    assert measured(f"sha256:{'cd' * 32}") is None


def test_where_it_is_placed_nowhere_nothing_is_shown() -> None:
    plan = _plan(MEASURED, gpus=("T4",))
    assert plan.capacity.refusals
    assert plan.capacity.models[0].measured is None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fleet.py").write_text(INVENTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_reads_the_file_where_it_is_run(project: Path) -> None:
    calibration.append(project / "calibration.json", [MEASURED])
    for options in ([], ["--without", "gpu1", "--add", "A30"]):
        done = CliRunner().invoke(main, ["plan", "fleet.py", "--json", *options])
        (use,) = json.loads(done.stdout)["capacity"]["models"]
        assert (use["measured_bytes"], use["measured_by"]) == (MEASURED.peak_bytes, "nvml")
    assert "llama2:13b: estimated 19.8, measured 19.6 GiB\n" in CliRunner().invoke(main, ["plan", "fleet.py"]).stdout


@pytest.mark.parametrize("command", [["plan"], ["verify"], ["verify", "--calibrate"]], ids=" ".join)
def test_a_broken_file_is_one_line(project: Path, command: list[str]) -> None:
    (project / "calibration.json").write_text("<<<<<<< HEAD\n")
    done = CliRunner().invoke(main, [*command, "fleet.py"])
    assert done.exit_code == 1
    assert done.stderr.startswith("calibration.json: is no JSON (")
    assert done.stderr.endswith("; mend it, or remove it and run verify --calibrate\n")
    assert done.stderr.count("\n") == 1
