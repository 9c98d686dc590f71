"""The demo's parts that need no lab: what it reads of pyinfra, what it shows, how it fails."""

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from inferfleet.cli import main
from inferfleet.demo import commands
from inferfleet.demo.stage import Stage
from inferfleet.demo.story import QUESTION
from inferfleet.errors import FleetError
from inferfleet.lab.model import QA


def operation(name: str, **hosts: list[str]) -> dict[str, object]:
    lists = {"success": [], "error": [], "no_change": [], **hosts}
    return {"name": name, "hosts": sum(map(len, lists.values())), **lists}


def result(*operations: dict[str, object], failed: tuple[str, ...] = ()) -> dict[str, object]:
    return {"plan": [], "results": {"operations": list(operations), "failed_hosts": list(failed)}}


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stage(shown: io.StringIO, log: io.StringIO) -> Stage:
    return Stage(Console(file=shown, width=40), log)


def test_nothing_changed() -> None:
    found = commands.outcome(result(operation("A", no_change=["gpu1", "cpu1"]), operation("B", no_change=["gpu1"])))
    assert found == commands.Outcome(3, (), ())


def test_one_change_is_seen() -> None:
    found = commands.outcome(result(operation("A", no_change=["gpu1"], success=["cpu1"])))
    assert found.changed == ("A on cpu1",)


def test_failures_are_seen_also_of_hosts_that_ran_nothing() -> None:
    found = commands.outcome(result(operation("A", error=["gpu1"]), failed=("cpu1",)))
    assert found.failed == ("A on gpu1", "cpu1")


def test_step_says_name_and_seconds(stage: Stage, shown: io.StringIO, log: io.StringIO) -> None:
    with stage.step("Plan: what goes where"):
        stage.output("    --> Starting operation: Base | Packages, a line that is longer than the terminal\n")
        stage.output("--> Connecting to hosts...\n")
    lines = shown.getvalue().splitlines()
    assert lines[0] == "▸ Plan: what goes where"
    assert lines[1].endswith("a line that is longer than the terminal")
    assert lines[2] == "  ✓ 0.0 s"
    assert len(lines) == 3
    assert "--> Connecting to hosts..." in log.getvalue()


def test_failed_step_is_known_by_its_first_words(stage: Stage, shown: io.StringIO) -> None:
    with pytest.raises(ZeroDivisionError), stage.step("Apply: bare hosts become a fleet"):
        raise ZeroDivisionError
    assert stage.failed == "Apply"
    assert shown.getvalue().splitlines()[-1] == "  ✗ 0.0 s"


def test_failed_command_says_its_last_line(stage: Stage) -> None:
    with pytest.raises(FleetError) as caught:
        commands.shown(stage, ["inferfleet", "plan", "nowhere.py"])
    assert str(caught.value) == (
        "inferfleet failed (got exit status 1): nowhere.py: there is no such inventory; "
        "name a file, as in inventory/prod.py"
    )


def test_command_that_writes_no_json(stage: Stage) -> None:
    with pytest.raises(FleetError, match="inferfleet: wrote no JSON"):
        commands.data(stage, ["inferfleet", "--version"])


def test_outside_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERFLEET_LOG", str(tmp_path / "log"))
    done = CliRunner().invoke(main, ["demo"])
    assert done.exit_code == 1
    assert done.output == (
        f"demo: start: inventory/lab.py: is not here (got {tmp_path}); run ./demo in a clone of inferfleet; "
        f"the full log: {tmp_path}/log\n"
    )


def test_question_has_an_answer() -> None:
    assert dict(QA)[QUESTION] == "I am a small model that tests the fleet."
