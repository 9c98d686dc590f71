"""Cards in containers, looked at from outside; a plain process stands for the container's."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import container_cards
from inferfleet.remote.docker_api import Docker, DockerError
from tests.remote.docker_double import DockerDouble

CDI = {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-b"]}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "docker.sock")
    monkeypatch.setattr(container_cards, "Docker", lambda timeout: Docker(str(double.path), timeout))
    yield double
    double.close()


def inspected(pid: int, **host: Any) -> dict[str, Any]:
    config = {"DeviceRequests": [CDI], "Runtime": "runc", "Privileged": False, **host}
    return {"State": {"Pid": pid}, "HostConfig": config}


@pytest.mark.parametrize(
    ("rows", "v1", "cgroup"),
    [
        (["0::/system.slice/docker-x.scope"], False, "system.slice/docker-x.scope"),
        (["5:devices:/", "0::/system.slice/docker-x.scope"], False, "system.slice/docker-x.scope"),
        (["4:memory:/docker/x", "5:devices:/docker/x", "0::/"], True, "devices/docker/x"),
    ],
    ids=["v2", "v2 beside v1 of others", "v1"],
)
def test_which_cgroup(rows: list[str], v1: bool, cgroup: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_cards, "CGROUPS", str(tmp_path))
    if v1:
        (tmp_path / "devices").mkdir()
    (tmp_path / "cgroup").write_text("".join(f"{row}\n" for row in rows))
    original = open
    monkeypatch.setattr("builtins.open", lambda path, **how: original(tmp_path / "cgroup", **how))
    assert container_cards.cgroup_of(1) == f"{tmp_path}/{cgroup}"


def test_what_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but EPERM is allowed: the driver's own errors come after the cgroup's."""
    (tmp_path / "cgroup.procs").touch()
    before = os.getpid()
    monkeypatch.setattr(container_cards, "_opens", lambda path: path != "/dev/nvidia1")
    assert container_cards.may_open(str(tmp_path), ["/dev/nvidia2", "/dev/nvidia1", "/dev/nvidia0"]) == [
        "/dev/nvidia0",
        "/dev/nvidia2",
    ]
    assert os.getpid() == before
    assert int((tmp_path / "cgroup.procs").read_text()) != before, "this process stays where it is"


def test_open_for_real(tmp_path: Path) -> None:
    assert container_cards._opens("/dev/null")
    assert container_cards._opens(str(tmp_path / "missing"))


def test_a_cgroup_that_is_gone() -> None:
    with pytest.raises(DockerError, match="its cgroup /nowhere cannot be joined: No such file or directory"):
        container_cards.may_open("/nowhere", [])


def test_a_node_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "cgroup.procs")  # a writer waits for a reader for ever
    monkeypatch.setattr(container_cards, "OPEN_HANGS_S", 0.1)
    with pytest.raises(DockerError, match="does not open within"):
        container_cards.may_open(str(tmp_path), [])


def test_nodes_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of another name is the same card."""
    there = {"/dev/nvidia0": 5, "/dev/nvidia1": 6}
    monkeypatch.setattr(container_cards, "nodes_below", lambda root: {"/dev/nvidia0": 6, "/dev/nvidia7": 9})
    assert container_cards.seen(1, there) == ["/dev/nvidia1", "/dev/nvidia7 of an unknown card"]


def test_asks_for_ours_or_by_name(
    daemon: DockerDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(container_cards, "nodes_below", lambda root: {"/dev/nvidia1": 6})
    monkeypatch.setattr(container_cards, "may_open", lambda cgroup, paths: paths)
    listed = "GET /containers/json?all=1&filters=%7B%22label%22%3A%20%5B%22inferfleet.instance%22%5D%7D"
    daemon.routes = {
        listed: [{"Names": ["/ollama-gpu1"]}],
        "GET /containers/ollama-gpu1/json": inspected(os.getpid()),
        "GET /containers/stopped/json": inspected(0),
        "GET /info": {"DefaultRuntime": "runc"},
    }
    container_cards.main({"names": None})
    found = json.loads(capsys.readouterr().out)
    assert found["containers"] == {
        "ollama-gpu1": {
            "running": True,
            "cdi": ["nvidia.com/gpu=GPU-b"],
            "drivers": ["cdi"],
            "runtime": "runc",
            "privileged": False,
            "sees": ["/dev/nvidia1"],
            "opens": ["/dev/nvidia1"],
        }
    }
    container_cards.main({"names": ["stopped", "missing"]})
    found = json.loads(capsys.readouterr().out)
    assert list(found["containers"]) == ["stopped"]
    assert found["containers"]["stopped"]["running"] is False


def test_a_process_that_went_away_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    told = container_cards.told_of(inspected(2**22 + 1), {})
    assert "its process cannot be looked at" in told["error"]
