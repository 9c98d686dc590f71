"""What checks measure while they ask, and when `verify` keeps it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from inferfleet import verify as verification
from inferfleet.calibration import Measurement
from inferfleet.checks.base import Peak
from inferfleet.checks.fleet import measurement
from inferfleet.checks.gpus import computes_on_its_cards
from inferfleet.checks.models import answers
from inferfleet.cli import main
from inferfleet.placed import Instance
from inferfleet.plan import make_plan
from inferfleet.spec import Model, parse_fleet
from tests.spec.inventories import DIGEST, OLLAMA, fleet

ADDRESS, MIB = "127.0.0.1:11434", 2**20
A, B = f"sha256:{DIGEST}", f"sha256:{'cd' * 32}"
UUIDS = [f"GPU-{letter}" for letter in "abc"]
STORE = {"tiny:latest": {"manifest": B, "weights": [A]}, "other:latest": None}


class Host:
    """A host that answers what a test says, and counts the questions; a stand-in for `checks.base.Target`."""

    def __init__(self, loaded: list[list[Any]], used: list[list[tuple[int, int | None]]]) -> None:
        self.report: dict[str, Any] = {"models": STORE}
        self.peaks: list[Peak] = []
        self.asked: list[str] = []
        self._loaded = loaded
        self.gpus = {
            "cards": [
                {
                    **{"index": index, "uuid": UUIDS[index], "error": None, "mig": {"devices": []}},
                    "processes": [{"pid": pid, "used_mib": mib} for pid, mib in processes],
                }
                for index, processes in enumerate(used)
            ]
        }

    def gpus_now(self) -> dict[str, Any]:
        self.asked.append("gpus")
        return self.gpus

    def processes(self) -> dict[str, list[int]]:
        self.asked.append("processes")
        return {"ollama": [10, 11]}

    def ask(self, address: str, model: str, prompts: list[str], tokens: int) -> dict[str, Any]:
        self.asked.append("model")
        return {"answers": {prompt: {"text": "Hi.", "tokens": 1} for prompt in prompts}, "loaded": self._loaded}


@pytest.fixture
def instance() -> Instance:
    """One instance on the first two of three cards."""
    data = fleet(
        gpus=["A30"] * 3,
        instances=[{"engine": "ollama", "gpus": [0, 1], "name": "ollama"}],
        models={"tiny": {"engine": "ollama", "vram_gib": 1}, "other": {"engine": "ollama", "vram_gib": 1}},
        engines={"ollama": {**OLLAMA, "parallel": 2}},
    )
    (node,) = make_plan(parse_fleet(data)).nodes
    return node.instances[0]


TINY = ["tiny:latest", 9, 9]


def _computes(host: Any, instance: Instance) -> list[Peak]:
    assert computes_on_its_cards(instance, ADDRESS, "tiny:latest", host) == ""
    assert host.asked == ["model", "processes", "gpus"], "no question for the measurement's sake"
    return list(host.peaks)


def test_the_driver_counts_the_instances_processes_on_its_cards(instance: Instance) -> None:
    host = Host([TINY], [[(10, 100), (99, 5000)], [(10, 30), (11, 4)], [(99, 7000)]])
    assert _computes(host, instance) == [Peak(ADDRESS, "tiny:latest", 134 * MIB, "nvml")]


@pytest.mark.parametrize(
    ("loaded", "used"),
    [
        ([TINY, ["other:latest", 5, 5]], 100),
        ([["other:latest", 5, 5]], 100),
        ([["tiny:latest", 9, 4]], 100),
        ([], 100),
        ([TINY], None),
    ],
    ids=["another beside it", "another one", "half on the CPU", "gone already", "the driver does not tell"],
)
def test_what_is_not_the_models_alone_is_not_measured(
    instance: Instance, loaded: list[list[Any]], used: int | None
) -> None:
    assert _computes(Host(loaded, [[(10, used)], [(11, 4)], []]), instance) == []


@pytest.mark.parametrize("used", [[[(10, 1)], [], []], [[(10, 1)], [(10, 1)], [(11, 1)]]], ids=["too few", "too many"])
def test_on_other_cards_nothing_is_measured(instance: Instance, used: list[list[tuple[int, int | None]]]) -> None:
    host: Any = Host([TINY], used)
    assert computes_on_its_cards(instance, ADDRESS, "tiny:latest", host)
    assert host.peaks == []


def _answers(host: Any, on_gpu: bool = True, **expect: str) -> list[Peak]:
    answers(ADDRESS, "tiny:latest", expect, on_gpu, host)
    assert host.asked == ["model"]
    return list(host.peaks)


def test_the_engine_counts_where_several_are_in_memory() -> None:
    both = [["other:latest", 5, 5], TINY]
    assert _answers(Host(both, [])) == [Peak(ADDRESS, "tiny:latest", 9, "ollama")]


def test_of_a_wrong_answer_or_place_nothing_is_measured() -> None:
    assert _answers(Host([TINY], []), Hello="Bye.") == []
    assert _answers(Host([["tiny:latest", 9, 0]], [])) == []
    assert _answers(Host([["tiny:latest", 9, 0]], []), on_gpu=False) == []


# --- from a peak to an entry --------------------------------------------------------------------


def _measurement(instance: Instance, **spec: Any) -> Measurement | None:
    models = {"tiny": Model(engine="ollama", **spec)}
    return measurement(Peak(ADDRESS, "tiny:latest", 9, "nvml"), instance, models, STORE, "2026-01-31")


def test_an_entry_has_the_weights_of_the_store_and_the_instances_setting(instance: Instance) -> None:
    found = _measurement(instance)
    assert found
    assert (found.model, found.weights, found.pin, found.peak_bytes) == ("tiny:latest", A, None, 9)
    assert (found.setting.card, found.setting.cards, found.setting.parallel) == ("A30", 2, 2)
    assert (found.measured_by, found.date) == ("nvml", "2026-01-31")


def test_a_pin_of_the_manifest_is_kept_beside_the_weights(instance: Instance) -> None:
    found = _measurement(instance)
    assert found
    assert _measurement(instance, pin=A) == found
    assert _measurement(instance, pin=B) == replace(found, pin=B)


def test_a_count_of_nothing_is_not_kept(instance: Instance) -> None:
    models = {"tiny": Model(engine="ollama")}
    assert measurement(Peak(ADDRESS, "tiny:latest", 0, "nvml"), instance, models, STORE, "2026-01-31") is None


def test_another_model_than_the_declared_one_is_not_kept(instance: Instance) -> None:
    assert _measurement(instance, pin=f"sha256:{'ef' * 32}") is None


# --- when verify writes -------------------------------------------------------------------------


@dataclass
class Ran:
    """What a run of checks found; a stand-in for `verify.Listener`."""

    results: list[dict[str, Any]]
    measured: list[Measurement]

    @property
    def fleet(self) -> "Ran":
        return self

    def measurements(self, date: str) -> list[Measurement]:
        return [replace(one, date=date) for one in self.measured]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: Instance) -> Path:
    """A directory in which `verify` finds everything well, and one measurement."""
    found = _measurement(instance)
    assert found
    ran = Ran([{"holds": True}], [replace(found, peak_bytes=3 * 2**30)])
    monkeypatch.setattr(verification, "verify", lambda *_: ran)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "calibration.json"


def _verify(*options: str) -> str:
    done = CliRunner().invoke(main, ["verify", "fleet.py", *options])
    assert done.exit_code == 0, done.output
    return done.stderr


def test_verify_writes_where_it_is_told_to(here: Path) -> None:
    assert _verify() == ""
    assert not here.exists()
    assert _verify("--calibrate") == "wrote calibration.json: tiny:latest takes 3.0 GiB on 2 x A30\n"
    assert here.exists()
    assert _verify("--calibrate") == "calibration.json: nothing new was measured\n"


def test_verify_writes_where_the_file_is_there(here: Path) -> None:
    empty = '{"format": 1, "measurements": []}'
    here.write_text(empty)
    assert _verify("--no-calibrate") == ""
    assert here.read_text() == empty
    assert _verify() == "wrote calibration.json: tiny:latest takes 3.0 GiB on 2 x A30\n"
    assert _verify() == ""
