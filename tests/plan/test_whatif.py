"""What-if questions, as the command answers them."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inferfleet.cli import main
from inferfleet.errors import FleetError
from inferfleet.plan import whatif

INVENTORY = """
_models = {
    "a": {"engine": "ollama", "vram_gib": 12, "replicas": 2, "placement": "spread"},
    "b": {"engine": "ollama", "vram_gib": 20, "replicas": 1},
    "c": {"engine": "ollama", "vram_gib": 1, "on": ["gpu2"]},
}
gpu = (
    [("gpu1", {"gpus": ["A30", "A30"]}), ("gpu2", {"gpus": ["A30"]})],
    {"engines": {"ollama": {"version": "0.32.15"}}, "models": _models},
)
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "prod.py"
    path.write_text(INVENTORY)
    return path


def ask(inventory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["plan", str(inventory), "--offline", *words])


def test_as_it_is(inventory: Path) -> None:
    done = ask(inventory)
    assert done.exit_code == 0, done.output
    assert "Compared" not in done.output


def test_without_a_host_its_models_are_refused_or_move(inventory: Path) -> None:
    done = ask(inventory, "--without", "gpu2")
    assert done.exit_code == 1
    assert "Compared with the inventory as it is\n a: loses 1 of 2 replicas\n c: loses 1 of 1 replicas" in done.output
    assert "models.a: wants 2 of 1 hosts; fits with replicas 1" in done.output
    assert "models.c: `on` names 'gpu2', no host of the fleet" in done.output
    assert "gpu2/" not in done.output.partition("Memory")[2].partition("Models")[0]


def test_a_host_more_takes_what_is_left(inventory: Path) -> None:
    done = ask(inventory, "--without", "gpu2", "--add", "2xRTX4090", "--add", "L4")
    assert "added-1" in done.output and "RTX 4090" in done.output and "added-2" in done.output
    assert " a: moves from gpu2/ollama-gpu0 to added-1/ollama-gpu0" in done.output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--without", "gpu9"], "--without: 'gpu9' is no host of the inventory; name one of gpu1, gpu2"),
        (["--add", "2xRTX4091"], "--add: '2xRTX4091' names no cards that are known; did you mean "),
        (["--add", "A100"], "--add: 'A100' names no cards that are known; did you mean 'A100 40GB' or 'A100 80GB'"),
        (["--add", "0xA30"], "--add: '0xA30' names no cards that are known; "),
        (["--add", ""], "--add: '' names no cards that are known; write it as in 2xRTX4090"),
    ],
)
def test_mistakes(inventory: Path, words: list[str], line: str) -> None:
    done = ask(inventory, *words)
    assert done.exit_code == 1
    assert done.stderr.startswith(line), done.stderr
    assert done.stdout == ""


def test_no_host_is_left(inventory: Path) -> None:
    done = ask(inventory, "--without", "gpu1", "--without", "gpu2")
    assert done.exit_code == 1
    assert done.stderr.startswith("inventory: no host has")


def test_an_added_host_has_what_the_groups_say_and_nothing_of_a_host() -> None:
    hosts = {"a": {"gpus": ["A30"], "ram_gib": 9, "nvlink": [[0]], "engines": {"x": 1}, "models": {}}}
    assert whatif.changed(hosts, [], ["T4"])["added-1"] == {"gpus": ["T4"], "engines": {"x": 1}, "models": {}}
    with pytest.raises(FleetError):
        whatif.changed(hosts, ["b"], [])
