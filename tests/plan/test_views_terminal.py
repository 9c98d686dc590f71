"""`inferfleet plan` on a terminal and in a pipe."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from inferfleet import plan_cli
from inferfleet.cli import main
from inferfleet.plan import FleetPlan
from inferfleet.plan_cli.terminal import Terminal
from tests.plan import capacities
from tests.plan.capacities import FLEETS, changed
from tools import example_plans

CLONE = Path(__file__).parents[2]


def printed(plan: FleetPlan, width: int | None = None, encoding: str = "utf-8", colour: bool = False) -> str:
    """What is printed on a terminal of that width, or into a pipe."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, write_through=True) as stream:
        system = "standard" if colour else None
        Terminal(Console(file=stream, width=width or 1000, force_terminal=bool(width), color_system=system)).plan(plan)  # type: ignore[arg-type]
        return raw.getvalue().decode(encoding)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_pipe_gets_each_card_in_one_line() -> None:
    text = printed(capacities.four_a30())
    card = (
        "  gpu1/0 A30  ██████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒░░░  20.9 of 23.2 GiB  "
        "llama2:13b: weights 6.9, KV cache 12.5 (4 x 3.1), engine 1.5; free 2.3"
    )
    assert [line for line in lines(text) if "/" in line] == [card.replace("gpu1/0", f"gpu1/{n}") for n in range(4)]
    assert "\x1b" not in text


def test_refusals_with_their_reasons_come_last() -> None:
    text = printed(capacities.mixed_cards())
    assert lines(text.partition("Refused\n")[2]) == [
        " models.llama2:70b: needs 41.2 GiB on one card and the largest leaves 23.6; lower `context`, or split it",
        "   3 cards in the fleet",
        "   3 have the backend that ollama asks for",
        "   0 leave 41.2 GiB (most: box/2, 23.6)",
    ]
    coloured = printed(capacities.mixed_cards(), width=120, colour=True)
    assert "\x1b[31m models.llama2:70b" in coloured


def test_models_and_losses() -> None:
    text = lines(printed(capacities.mixed_cards()))
    assert " qwen2.5:32b: context 40960 is cut to the model's own 32768" in text
    assert " mistral:7b: estimated 9.0, measured 8.6 GiB" in text
    assert " box/0: no replica is left of qwen2.5:32b; mistral:7b answers 4 at once, load 6" in text
    assert any(line.endswith("its parameters, ±10 %") for line in text)
    assert " no single host or card takes a model away" in lines(printed(capacities.fifty()))


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_no_line_is_wider_than_the_terminal(make: Any, width: int) -> None:
    assert [line for line in lines(printed(make(), width)) if len(line) > width] == []


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
@pytest.mark.parametrize("width", [80, None])
def test_ascii_where_there_is_nothing_else(make: Any, width: int | None) -> None:
    text = printed(make(), width, encoding="ascii")
    assert text.isascii()
    if make is capacities.four_a30 and width:
        assert "  gpu1/0 A30  [######===========.__]  20.9 of 23.2 GiB  free 2.3" in lines(text)
        assert "  # weights   = KV cache   . engine   _ free   (GiB)" in lines(text)


def test_fifty_hosts_fit_on_a_screen() -> None:
    assert len(lines(printed(capacities.fifty(), 160))) < 50
    # A pipe is for programs, which look for a host's own lines.
    assert sum("gpu17.example.net" in line for line in lines(printed(capacities.fifty()))) == 4


def test_colour_says_nothing_that_the_text_does_not() -> None:
    plan = capacities.mixed_cards()
    coloured = printed(plan, 120, colour=True)
    assert coloured.count("\x1b[") > 20
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == printed(plan, 120)


def test_a_name_is_no_markup() -> None:
    plan = capacities.fleet_of({"[red]gpu1[/red]": [("A30", ["llama2:13b"])]})
    assert "[red]gpu1[/red]/0 A30" in printed(plan)
    assert "[red]gpu1[/red]  ollama-gpu0" in printed(plan)


def test_a_plan_without_capacity_is_its_instances() -> None:
    plan = FleetPlan(capacities.four_a30().nodes)
    assert len(lines(printed(plan))) == 5


def test_the_example_in_the_documentation_is_what_is_printed() -> None:
    page = (CLONE / "docs/howto/capacity.md").read_text()
    (shown,) = re.findall(
        r"^```console\n\$ inferfleet plan inventory/examples/four_a30.py\n(.*?)^```$", page, re.M | re.S
    )
    assert shown == example_plans.printed(example_plans.EXAMPLES / "four_a30.py", 100)


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(plan: FleetPlan, *words: str) -> Result:
        monkeypatch.setattr(plan_cli, "_plan", lambda inventory, without, add: plan)
        return CliRunner().invoke(main, ["plan", "inventory.py", *words])

    return run


@pytest.mark.parametrize("form", [[], ["--json"], ["--markdown"], ["--offline"], ["--html", "plan.html"]])
def test_refusals_are_exit_status_1(
    command: Any, form: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = capacities.mixed_cards()
    assert command(plan, *form).exit_code == 1
    assert command(changed(plan, refusals=()), *form).exit_code == 0


def test_forms(command: Any, tmp_path: Path) -> None:
    plan = capacities.mixed_cards()
    assert json.loads(command(plan, "--json").stdout)["capacity"]["cards"][0]["taken_bytes"] == 24051816858
    assert command(plan, "--markdown").stdout.startswith("### Plan\n")
    assert command(plan).stdout == command(plan, "--offline").stdout
    done = command(plan, "--html", str(tmp_path / "plan.html"))
    assert done.stdout == f"wrote {tmp_path}/plan.html\n"
    assert done.stderr == f"{plan.capacity.refusals[0].line}\n"
    assert (tmp_path / "plan.html").read_text().startswith("<!doctype html>")


def test_mistakes(command: Any, tmp_path: Path) -> None:
    both = command(capacities.laptop(), "--json", "--markdown")
    assert (both.exit_code, both.stderr.splitlines()[-1]) == (2, "Error: of --json, --markdown and --html give one")
    nowhere = command(capacities.laptop(), "--html", str(tmp_path / "no" / "plan.html"))
    reason = "cannot be written (No such file or directory); name a file in a directory of yours"
    assert (nowhere.exit_code, nowhere.stderr) == (1, f"{tmp_path}/no/plan.html: {reason}\n")
