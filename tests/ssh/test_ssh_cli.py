"""The `pyinfra` command itself, with and without the two lines at the top of the inventory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sshd_host import Sshd

pytestmark = [pytest.mark.lab, pytest.mark.alone]

INVENTORY = """\
{lines}
_data = {data!r}
first = [("node-a", dict(_data))]
second = [("node-b", dict(_data, colour="red"))]
"""

USE = "from inferfleet import ssh as _ssh\n_ssh.use()\n_ssh.use()\n"

DEPLOY = """\
from io import StringIO

from pyinfra import host
from pyinfra.operations import files, python, server

root = f"/home/deploy/{host.name}"
files.directory(path=root)
for number in range(5):
    files.put(src=StringIO(f"file {number}"), dest=f"{root}/{number}", mode="640")
    files.line(path=f"{root}/lines", line=f"line {number}")
files.file(path="/etc/inferfleet-test", touch=False, _sudo=True)
files.link(path=f"{root}/link", target=f"{root}/0")
server.user(user=f"user-{host.name}", _sudo=True)
if host.data.get("last"):
    server.shell(commands=["true"])
if host.data.get("broken"):
    server.shell(commands=[f"rm {root}/1"])
    files.put(src=StringIO("file 1"), dest=f"{root}/1", mode="640", name="Heal")
"""


@dataclass(frozen=True)
class Project:
    folder: Path

    def run(self, *arguments: str, inventory: str = "ours.py", answer: str = "") -> str:
        """What the command prints; fails the test when it fails."""
        environment = os.environ | {"INFERFLEET_ROUND_TRIPS": str(self.folder / "trips.json")}
        command = [sys.executable, "-m", "pyinfra", inventory, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, input=answer, capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        return output

    def trips(self) -> dict[str, dict[str, int]]:
        return dict(json.loads((self.folder / "trips.json").read_text()))


@pytest.fixture
def project(sshd: Sshd, tmp_path: Path) -> Project:
    """Two hosts that are one machine, and a deploy whose files are theirs alone."""
    for name, lines in (("ours.py", USE), ("stock.py", "")):
        (tmp_path / name).write_text(INVENTORY.format(lines=lines, data=sshd.data()))
    (tmp_path / "deploy.py").write_text(DEPLOY)
    project = Project(tmp_path)
    project.run("exec", "--", "sudo rm -rf /home/deploy/node-*; sudo touch /etc/inferfleet-test", inventory="stock.py")
    return project


def test_debug_inventory_is_unchanged(project: Project) -> None:
    ours, stock = (project.run("debug-inventory", inventory=f"{name}.py") for name in ("ours", "stock"))
    assert ours.replace("ours", "stock") == stock
    assert "node-a" in ours


def test_plan_and_result_are_those_of_stock(project: Project) -> None:
    def plan(inventory: str) -> object:
        printed = project.run("--limit", "node-a", "--json", "--dry", "deploy.py", inventory=inventory)
        return json.loads(printed[printed.index("{") : printed.rindex("}") + 1])

    def host_files() -> str:
        script = "cd /home/deploy && find node-* -type f -exec sha256sum {} + | sort; stat -c '%n %A %U' node-*/*"
        return project.run("--limit", "node-a", "exec", "--", script, inventory="stock.py")

    assert plan("ours.py") == plan("stock.py")
    project.run("-y", "deploy.py", inventory="stock.py")
    expected = host_files()
    project.run("exec", "--", "sudo rm -rf /home/deploy/node-*", inventory="stock.py")
    project.run("-y", "deploy.py")
    assert host_files() == expected


def test_a_run_that_changes_nothing_keeps_its_budget(project: Project) -> None:
    project.run("-y", "deploy.py")
    project.run("-y", "deploy.py")
    trips = project.trips()
    assert sorted(trips) == ["node-a", "node-b"]
    for host in trips.values():
        assert host["commands"] == host["uploads"] == host["downloads"] == 0
        assert host["total"] == host["facts"] <= 22


def test_preparing_and_executing_ask_the_same_once(project: Project) -> None:
    project.run("-y", "deploy.py")
    project.run("--data", "last=1", "deploy.py", answer="\n")
    for host in project.trips().values():
        assert host["commands"] == 1
        assert host["facts"] <= 22
        assert host["cached"] >= 22


def test_a_fact_is_never_older_than_a_change_of_the_run(project: Project) -> None:
    project.run("-y", "deploy.py")
    output = project.run("-y", "--data", "broken=1", "deploy.py")
    assert output[output.rindex("Heal") :].count("No changes") == 0
    project.run("exec", "--", "grep -qx 'file 1' /home/deploy/node-a/1 && grep -qx 'file 1' /home/deploy/node-b/1")


def test_limit_takes_one_host(project: Project) -> None:
    project.run("--limit", "second", "-y", "deploy.py")
    assert list(project.trips()) == ["node-b"]


def test_one_option_goes_back_to_stock_for_a_run(project: Project) -> None:
    project.run("-y", "deploy.py")
    project.run("--data", "ssh_stock=true", "-y", "deploy.py")
    for host in project.trips().values():
        assert host["cached"] == 0


def test_a_host_key_that_changed_is_refused(project: Project, sshd: Sshd) -> None:
    wrong = project.folder / "known_hosts"
    wrong.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'key.pub').read_text()}")
    command = [
        sys.executable,
        "-m",
        "pyinfra",
        "ours.py",
        "--data",
        f"ssh_known_hosts_file={wrong}",
        "exec",
        "--",
        "id",
    ]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    assert done.returncode != 0
    assert "SSH host key error" in done.stdout + done.stderr
