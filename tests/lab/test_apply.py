"""From bare hosts to a real model's answer, with the two commands that a user runs."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.lab.project import BIN, TINY, Project
from tests.lab.trees import digest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]


def test_dry_run_on_bare_hosts_changes_nothing(bare: Project) -> None:
    before = {name: digest(bare.host(name)) for name in bare.hosts}
    run = bare.dry()
    assert run.rc == 0, run.text
    assert run.changed == {"gpu1", "cpu1"}
    assert "will fetch Ollama 0.32.15" in run.text
    assert 'Environment="OLLAMA_NUM_PARALLEL=4"' in run.text
    assert {name: digest(bare.host(name)) for name in bare.hosts} == before


def test_apply_brings_the_fleet_up_and_verify_proves_it(bare: Project) -> None:
    run = bare.apply()
    assert run.rc == 0, run.text
    assert run.changed == {"gpu1", "cpu1"}
    checks = bare.verify()
    assert [f"{says}: {why}" for says, why in checks.items() if why] == []
    assert "gpu1: ollama-gpu0 answers as tiny from the GPU" in checks
    assert "cpu1: ollama-cpu1 answers as tiny from the CPU" in checks


def test_second_apply_changes_nothing(bare: Project) -> None:
    run = bare.apply()
    assert run.rc == 0, run.text
    assert run.changes == {}


def test_a_run_without_changes_asks_each_host_three_questions_at_most(bare: Project, tmp_path: Path) -> None:
    """However many instances and models: gpu1 has one instance, cpu1 two."""
    bare.data["models"] = {**TINY, "llama2:13b": TINY["tiny"]}
    assert bare.apply().rc == 0
    report = tmp_path / "trips.json"
    run = bare.pyinfra("-y", INFERFLEET_ROUND_TRIPS=str(report))
    bare.data["models"] = TINY
    assert run.changes == {}, run.text
    assert all(host["total"] <= 3 for host in json.loads(report.read_text()).values()), report.read_text()
    bare.apply()


def test_verify_through_plain_pytest(bare: Project, tmp_path: Path) -> None:
    command = [
        str(BIN / "pytest"),
        "-q",
        "tests/verify",
        "--inventory",
        str(bare.write()),
        f"--junitxml={tmp_path}/j.xml",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "gpu1: ollama-gpu0 answers as tiny from the GPU" in (tmp_path / "j.xml").read_text()


def test_dry_run_on_converged_hosts_changes_nothing(bare: Project) -> None:
    before = {name: digest(bare.host(name)) for name in bare.hosts}
    run = bare.dry()
    assert run.rc == 0, run.text
    assert run.changes == {}
    assert {name: digest(bare.host(name)) for name in bare.hosts} == before


def test_everything_comes_back_after_a_reboot(bare: Project) -> None:
    bare.host("cpu1").reboot()
    # Models are loaded by the apply; what systemd starts at boot must answer on its own before.
    checks = bare.verify()
    assert [f"{says}: {why}" for says, why in checks.items() if why] == []


def test_only_the_instance_that_differs_is_restarted(bare: Project) -> None:
    bare.apply()
    cpu1 = bare.host("cpu1")
    pids = "for n in 0 1; do systemctl show -P MainPID ollama-cpu$n; done"
    first, second = cpu1.run(pids).stdout.split()
    bare.hosts["cpu1"] = {"instances": [{"engine": "ollama"}, {"engine": "ollama", "port": 11500}]}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert run.changed == {"cpu1"}
    now_first, now_second = cpu1.run(pids).stdout.split()
    assert now_first == first
    assert now_second != second
    assert not [why for why in bare.verify().values() if why]


def test_an_instance_no_longer_declared_is_removed(bare: Project) -> None:
    bare.hosts["cpu1"] = {"instances": [{"engine": "ollama"}]}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert "will remove ollama-cpu1: is no longer declared" in run.text
    units = bare.host("cpu1").run("ls /etc/systemd/system; systemctl is-active ollama-cpu1 || true").stdout
    assert "ollama-cpu1" not in units
    assert "inactive" in units
    assert bare.apply().changes == {}


def test_a_host_without_instances_is_emptied_and_its_store_kept(bare: Project) -> None:
    bare.hosts["cpu1"] = {"instances": []}
    bare.data["models"] = {"tiny": {**TINY["tiny"], "replicas": 1}}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert "will remove ollama-cpu0: is no longer declared" in run.text
    cpu1 = bare.host("cpu1")
    assert "ollama-cpu" not in cpu1.run("ls /etc/systemd/system; pgrep -a ollama || true").stdout
    assert cpu1.run("ls /usr/share/ollama/.ollama/models/manifests").stdout
    assert bare.apply().changes == {}
    assert bare.verify()["cpu1: runs no instance of ours beyond these"] == ""
