"""`inferfleet init`: complete, and nothing that was there before is touched."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from inferfleet.cli import main
from inferfleet.errors import FleetError
from inferfleet.inventory import plan_from
from inferfleet.scaffold import IGNORED, PARTS, copy_project

CLONE = Path(__file__).parents[1]


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_all_that_a_project_needs_is_written(tmp_path: Path) -> None:
    written = copy_project(tmp_path / "fleet")
    found = tree(tmp_path / "fleet")
    wanted = {
        str(path.relative_to(CLONE))
        for part in PARTS
        for path in [CLONE / part, *(CLONE / part).rglob("*")]
        if path.is_file() and "__pycache__" not in path.parts and path.name != "lab.py"
    }
    assert set(found) == {*wanted, ".gitignore"}
    assert {path.name for path in written} == {*PARTS, ".gitignore"}
    assert all(found[name] == (CLONE / name).read_bytes() for name in wanted)


def test_the_written_inventory_has_a_plan(tmp_path: Path) -> None:
    copy_project(tmp_path / "fleet")
    plan = plan_from(str(tmp_path / "fleet" / "inventory" / "prod.py"))
    assert [instance.name for node in plan.nodes for instance in node.instances] == [
        f"ollama-gpu{card}" for card in range(4)
    ]


def test_init_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["init", str(tmp_path / "fleet")])
    assert done.exit_code == 0
    assert f"wrote {tmp_path / 'fleet' / 'deploy.py'}" in done.output
    assert "pyinfra inventory/prod.py deploy.py --dry --diff" in done.output


def test_other_files_may_lie_there_and_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").write_text("secrets/\n")
    written = copy_project(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / ".gitignore").read_text() == "secrets/\n"
    assert {path.name for path in written} == set(PARTS)


def test_git_is_told_what_a_run_leaves_behind(tmp_path: Path) -> None:
    copy_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == IGNORED


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_exists_is_refused_and_nothing_is_written(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir()
    done = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert done.exit_code == 1
    assert done.output == f"{tmp_path / part}: exists already; name another directory, or move it away\n"
    assert [path.name for path in tmp_path.iterdir()] == [part]


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "deploy.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(FleetError, match="exists already"):
        copy_project(tmp_path / "fleet")
    assert not (tmp_path / "elsewhere.py").exists()


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text("mine")
    with pytest.raises(FleetError, match=r"fleet: cannot be written \(File exists\); name a directory of yours"):
        copy_project(tmp_path / "fleet")
    assert (tmp_path / "fleet").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(FleetError, match=r"cannot be written \(Permission denied\)"):
        copy_project(tmp_path / "closed" / "fleet")
