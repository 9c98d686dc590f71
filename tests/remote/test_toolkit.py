"""What is asked about the toolkit and what is done about it, with doubles of dpkg, systemd, nvidia-ctk and Docker."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferfleet.engines.toolkit_host import ToolkitHost
from inferfleet.remote import cdi, nvidia_toolkit, toolkit_state
from inferfleet.remote.docker_api import Docker
from tests.remote.cdi_specs import A, B, json_of, yaml_of
from tests.remote.conftest import Run
from tests.remote.docker_double import DockerDouble

DECLARED = ToolkitHost("1.20.1", "http://mirror/libnvidia-container", "A" * 40, ())
INFO = {
    "ServerVersion": "28.2.2",
    "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    "DiscoveredDevices": [{"Source": "cdi", "ID": f"nvidia.com/gpu={A}"}],
    "DefaultRuntime": "runc",
}
Program = Callable[[str, str], None]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "docker.sock")
    yield double
    double.close()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Programs of the host, of which there are none but those that a test makes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(cdi, "CDI_SETTINGS", str(tmp_path / "refresh.env"))

    def make(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    return make


# --- asking -------------------------------------------------------------------------------------


def test_a_host_with_nothing(run: Run) -> None:
    done = run("toolkit_state", DECLARED.question, PATH="/nowhere")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["apt"], answer["fresh"], answer["units"]) == (None, None, {})


def test_units(program: Program) -> None:
    said = "Id=a.path\\nLoadState=loaded\\nUnitFileState=enabled\\nActiveState=active\\nResult=success\\n\\n"
    program("systemctl", f"printf '{said}Id=b.service\\nLoadState=not-found\\nActiveState=inactive\\n'")
    assert toolkit_state.unit_states(["a.path", "b.service"]) == {
        "a.path": {"load": "loaded", "enabled": "enabled", "active": "active", "result": "success"}
    }


def test_files_that_name_other_repositories_too(tmp_path: Path, program: Program) -> None:
    program("dpkg", "echo amd64")
    ours = "deb [signed-by=/x.gpg] http://mirror/libnvidia-container/stable/deb/$(ARCH) /\n"
    alone, beside = tmp_path / "alone.list", tmp_path / "beside.list"
    alone.write_text(f"# of NVIDIA\n{ours}#deb http://mirror/other /\n")
    beside.write_text(f"{ours}deb http://mirror/other /\n")
    assert toolkit_state.mixed([str(alone), str(beside)], DECLARED.apt_source) == [str(beside)]


def test_what_docker_says(daemon: DockerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit_state, "docker_runs", lambda: True)
    monkeypatch.setattr(toolkit_state, "Docker", lambda timeout: Docker(str(daemon.path), timeout))
    daemon.routes["GET /info"] = INFO
    assert toolkit_state.docker_state() == {
        "directories": ["/etc/cdi", "/var/run/cdi"],
        "discovered": [f"nvidia.com/gpu={A}"],
        "default_runtime": "runc",
    }
    daemon.routes["GET /info"] = {"ServerVersion": "20.10.24"}
    old = toolkit_state.docker_state()
    assert old is not None
    assert (old["directories"], old["discovered"]) == (None, None)
    daemon.routes["GET /info"] = 500
    assert toolkit_state.docker_state() is None


# --- doing --------------------------------------------------------------------------------------


@pytest.fixture
def ctk(tmp_path: Path, program: Program) -> Callable[[str], None]:
    """nvidia-ctk finds these cards; the refresh unit writes what it says into run/nvidia.yaml."""

    def finds(text: str, unit: str = f"cp {tmp_path}/now {tmp_path}/run/nvidia.yaml") -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "now").write_text(text)
        program("nvidia-ctk", f"cat {tmp_path}/now")
        program("systemctl", f'echo "$@" >>{tmp_path}/told; case $1 in restart) {unit};; esac')
        program("journalctl", "echo nvidia-smi: not found")

    return finds


def told(tmp_path: Path) -> list[str]:
    path = tmp_path / "told"
    return path.read_text().splitlines() if path.exists() else []


def test_refresh_by_the_unit(tmp_path: Path, ctk: Callable[[str], None]) -> None:
    """Again is once: what is right is not written again."""
    ctk(json_of(A, B))
    for _ in range(2):
        fresh = nvidia_toolkit.refresh(f"{tmp_path}/run/nvidia.yaml", by_unit=True)
        assert list(fresh["devices"]) == ["0", "1", A, B]
        assert told(tmp_path) == ["reset-failed nvidia-cdi-refresh.service", "restart nvidia-cdi-refresh.service"]


def test_a_unit_that_writes_nothing(tmp_path: Path, ctk: Callable[..., None]) -> None:
    """As where the module is in no modules.dep: the unit is skipped, and systemctl is content."""
    ctk(json_of(A), unit="true")
    with pytest.raises(
        SystemExit, match=r"does not write .*nvidia.yaml as nvidia-ctk says it now: nvidia-smi: not found"
    ):
        nvidia_toolkit.refresh(f"{tmp_path}/run/nvidia.yaml", by_unit=True)


def test_refresh_without_a_unit(tmp_path: Path, ctk: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    ctk(yaml_of(A))
    monkeypatch.setattr("os.chown", lambda *_: None)
    output = tmp_path / "etc/cdi/nvidia.yaml"
    nvidia_toolkit.refresh(str(output), by_unit=False)
    assert output.read_text() == f"# Managed by inferfleet\n{yaml_of(A)}"
    found = cdi.cdi_file(str(output))
    assert found is not None
    assert found["ours"]


def test_cards_that_cannot_be_read(tmp_path: Path, program: Program) -> None:
    program("nvidia-ctk", "echo 'Driver Not Loaded' >&2; exit 1")
    with pytest.raises(SystemExit, match="nvidia-ctk cannot read the cards: Driver Not Loaded"):
        nvidia_toolkit.refresh(f"{tmp_path}/nvidia.yaml", by_unit=True)


def test_put_away_keeps_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_toolkit, "REMOVED", str(tmp_path / "removed"))
    for text in ("one", "two"):
        (tmp_path / "nvidia.yaml").write_text(text)
        nvidia_toolkit.put_away(f"{tmp_path}/nvidia.yaml")
        assert not (tmp_path / "nvidia.yaml").exists()
        (kept,) = (tmp_path / "removed").iterdir()
        assert kept.read_text() == text


def check(daemon: DockerDouble, info: dict[str, Any], *devices: str) -> None:
    daemon.routes["GET /info"] = {**INFO, **info}
    nvidia_toolkit.check_docker(Docker(str(daemon.path), 5), "/var/run/cdi/nvidia.yaml", list(devices))


def test_docker_sees_the_cards(daemon: DockerDouble) -> None:
    check(daemon, {}, A)
    check(daemon, {"DiscoveredDevices": None}, A, B)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"CDISpecDirs": []}, "Docker has CDI switched off"),
        ({"CDISpecDirs": ["/etc/cdi"]}, "Docker does not look for CDI specifications in /var/run/cdi"),
        ({}, f"Docker does not see nvidia.com/gpu={B}, which /var/run/cdi/nvidia.yaml names"),
    ],
)
def test_docker_does_not(
    daemon: DockerDouble, info: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia_toolkit, "SEEN_S", 0)
    with pytest.raises(SystemExit, match=words):
        check(daemon, info, A, B)
