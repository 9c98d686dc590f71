"""Docker brought about: validated before it is written, put back where Docker does not start, waited for."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import apt_source, docker_engine, firewall_load
from inferfleet.remote.docker_api import Docker
from tests.remote.docker_double import DockerDouble, reply

OLD, NEW = '{"debug": true}', '{"debug": true, "live-restore": true}'
INFO = {"ServerVersion": "28.1.1", "LiveRestoreEnabled": True, "LoggingDriver": "local"}


class Host:
    """Programs that write down what they are told; Docker's answers; the files."""

    def __init__(self, folder: Path, docker: DockerDouble) -> None:
        self.folder, self.docker = folder, docker
        self.json, self.record = folder / "daemon.json", folder / "record.json"
        (folder / "bin").mkdir()
        self.answers("systemctl", 'case "$*" in *ActiveState*) echo active;; *MainPID*) echo 1;; esac')
        for program in ("dockerd", "journalctl", "nft"):
            self.answers(program, "")
        docker.routes |= {"GET /info": INFO, "GET /networks/inferfleet": {"Containers": {}}}

    def answers(self, program: str, script: str) -> None:
        path = self.folder / "bin" / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{self.folder}/log\n{script}\n')
        path.chmod(0o755)

    @property
    def told(self) -> list[str]:
        lines = (self.folder / "log").read_text().splitlines() if (self.folder / "log").exists() else []
        return [line for line in lines if not re.match(r"systemctl show|journalctl", line)]

    def work(self, **changed: Any) -> dict[str, Any]:
        packages = {"source": None, "bring": False, "stale_source": [], "replace": False, "install": {}}
        record = {"meanwhile": {"a": 1}, "ours": {"b": 2}, "values": {"ip": "x"}, "expected": {"live-restore": True}}
        return {
            **packages,
            "optional": [],
            "remove": [],
            "hold": [],
            "proxy": {},
            "firewall": {"files": {}, "unit": "f.service", "apply": False},
            "daemon": {"path": str(self.json), "text": NEW, "found": OLD},
            "record": {"path": str(self.record), **record},
            "action": "restart",
            "network": {"name": "inferfleet", "how": "create", "body": {"Name": "inferfleet"}},
            "needs": 0,
            **changed,
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    double = DockerDouble(tmp_path / "docker.sock")
    host = Host(tmp_path, double)
    host.json.write_text(OLD)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    monkeypatch.setattr(docker_engine, "DOCKER", Docker(str(double.path), 5))
    monkeypatch.setattr(docker_engine, "VALIDATED", str(tmp_path / "validated.json"))
    monkeypatch.setattr(docker_engine, "READY_S", 1)
    monkeypatch.setattr(docker_engine, "RELOAD_S", 1)
    yield host
    double.close()


def fails(host: Host, **changed: Any) -> str:
    with pytest.raises(SystemExit) as ended:
        docker_engine.main(host.work(**changed))
    return str(ended.value)


def test_written_and_restarted(host: Host) -> None:
    host.json.chmod(0o600)
    docker_engine.main(host.work())
    assert host.json.stat().st_mode & 0o777 == 0o600
    assert host.json.read_text() == NEW
    assert [line for line in host.told if line.startswith("systemctl restart")] == ["systemctl restart docker"]
    assert host.told[0].startswith("dockerd --validate --config-file")
    found = json.loads(host.record.read_text())
    assert (found["ours"], found["running"]["values"]) == ({"b": 2}, {"ip": "x"})


def test_live_restore_is_switched_on_before_a_restart(host: Host) -> None:
    off = {**INFO, "LiveRestoreEnabled": False}
    answers = iter([off, off])
    host.docker.routes["GET /info"] = lambda handler, _: reply(handler, 200, next(answers, INFO))
    docker_engine.main(host.work())
    verbs = [line for line in host.told if re.search("reload docker|restart docker", line)]
    assert verbs == ["systemctl reload docker", "systemctl restart docker"]


def test_changed_meanwhile(host: Host) -> None:
    host.json.write_text("{}")
    assert "was changed meanwhile; run again" in fails(host)
    assert host.json.read_text() == "{}"


def test_written_meanwhile_by_the_run_before(host: Host) -> None:
    host.json.write_text(NEW)
    docker_engine.main(host.work())
    assert host.json.read_text() == NEW


def test_what_docker_would_not_take_is_not_written(host: Host) -> None:
    host.answers("dockerd", "echo 'unable to configure the Docker daemon: unknown key x' >&2; exit 1")
    line = fails(host)
    assert line.startswith("Docker would not take the new daemon.json: unable to configure")
    assert "\n" not in line
    assert host.json.read_text() == OLD
    assert not [line for line in host.told if "systemctl restart" in line]


def test_secrets_of_others_in_the_file_are_never_open(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a proxy's password: neither what Docker checks nor what takes the file's place may be read by others."""
    host.json.chmod(0o600)
    seen: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(f"{os.fstat(fd).st_mode & 0o777:o}"), fsync(fd))[1])
    host.answers("dockerd", f"stat -c %a {host.folder}/validated.json >{host.folder}/mode")
    docker_engine.daemon(host.work())
    assert (host.folder / "mode").read_text() == "600\n"
    # What is checked, the record before, daemon.json, the record after.
    assert seen == ["600", "644", "600", "644"]
    assert host.json.stat().st_mode & 0o777 == 0o600


def test_a_docker_that_never_starts_is_not_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unit has no time limit (`TimeoutStartSec=0`): systemctl waits with it for ever."""
    monkeypatch.setattr(firewall_load, "COMMAND_S", 0.5)
    host.answers(
        "systemctl",
        f'case "$*" in "restart docker") grep -qs live-restore {host.json} && exec sleep 20;;'
        f" *ActiveState*) grep -qs live-restore {host.json} && echo activating || echo active;; esac; exit 0",
    )
    assert fails(host).startswith("Docker does not start, and runs again with the old daemon.json")
    assert host.json.read_text() == OLD


def test_a_docker_that_cannot_validate(host: Host) -> None:
    """20.10 of bookworm."""
    host.answers("dockerd", "echo 'unknown flag: --validate' >&2; exit 125")
    docker_engine.main(host.work())
    assert host.json.read_text() == NEW


@pytest.mark.parametrize("before", [OLD, None])
def test_the_old_file_is_back_where_docker_does_not_start_with_the_new_one(host: Host, before: str | None) -> None:
    """It runs only while the file is the old one."""
    host.answers(
        "systemctl",
        f'case "$*" in *ActiveState*) grep -qs live-restore {host.json} && echo failed || echo active;; esac',
    )
    host.answers("journalctl", "echo 'no such pool'")
    if before is None:
        host.json.unlink()
    line = fails(host, daemon={"path": str(host.json), "text": NEW, "found": before})
    assert line == "Docker does not start, and runs again with the old daemon.json: no such pool"
    assert (host.json.read_text() if host.json.exists() else None) == before


def test_a_reload_that_is_not_taken_up(host: Host) -> None:
    host.docker.routes["GET /info"] = {**INFO, "LiveRestoreEnabled": False}
    assert "anew, but live-restore is false, declared is true" in fails(host, action="reload")
    assert not [line for line in host.told if "systemctl restart" in line]


def test_a_flag_that_overrules(host: Host) -> None:
    host.docker.routes["GET /info"] = {**INFO, "LiveRestoreEnabled": False}
    line = fails(host, action=None, daemon={"path": str(host.json), "text": None, "found": OLD})
    assert line.startswith("Docker runs, but live-restore is false, declared is true")


def test_too_old_for_cards(host: Host) -> None:
    host.docker.routes["GET /info"] = {**INFO, "ServerVersion": "20.10.24+dfsg1"}
    assert fails(host, needs=25) == "Docker 20.10.24+dfsg1 knows no CDI, by which containers get cards; use docker-ce"


def test_nothing_to_do_touches_nothing(host: Host) -> None:
    docker_engine.main(host.work(action=None, daemon={"path": str(host.json), "text": None, "found": OLD}))
    assert host.json.read_text() == OLD
    assert not [line for line in host.told if re.search("systemctl re|dockerd", line)]


def test_network_is_made(host: Host) -> None:
    host.docker.routes.pop("GET /networks/inferfleet")
    host.docker.routes["POST /networks/create"] = {"Id": "1"}
    docker_engine.main(host.work())
    assert host.docker.paths()[-1] == "POST /networks/create"


def test_network_is_made_anew(host: Host) -> None:
    host.docker.routes |= {
        "GET /networks/inferfleet": {"Containers": {"c1": {}}},
        "POST /networks/inferfleet/disconnect": b"",
        "DELETE /networks/inferfleet": b"",
        "POST /networks/create": {"Id": "1"},
    }
    docker_engine.main(host.work(network={"name": "inferfleet", "how": "anew", "body": {"Name": "inferfleet"}}))
    assert [path for path in host.docker.paths() if "GET" not in path] == [
        "POST /networks/inferfleet/disconnect",
        "DELETE /networks/inferfleet",
        "POST /networks/create",
    ]


def test_firewall_goes_first(host: Host, tmp_path: Path) -> None:
    files = {str(tmp_path / "etc/firewall.nft"): "rules\n", str(tmp_path / "f.service"): "unit\n"}
    docker_engine.main(host.work(firewall={"files": files, "unit": "f.service", "apply": True}))
    assert {path: Path(path).read_text() for path in files} == files
    assert host.told[:4] == [
        "systemctl daemon-reload",
        "systemctl unmask --quiet f.service",
        "systemctl enable --quiet f.service",
        "systemctl restart f.service",
    ]


def test_packages(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(apt_source, "bring_source", lambda *words: told.append(words))
    monkeypatch.setattr(apt_source, "install", lambda *words: told.append(words))
    monkeypatch.setattr(apt_source, "hold", lambda names: told.append(names))
    monkeypatch.setattr(apt_source, "full_version", lambda name, version: f"5:{version}")
    monkeypatch.setattr(apt_source, "versions_of", lambda name: [])
    monkeypatch.setattr(apt_source, "release", lambda: {"distribution": "debian", "suite": "trixie", "arch": "amd64"})
    docker_engine.main(
        host.work(
            source={"text": "URIs: x/{distribution}\nSuites: {suite}\n", "fingerprints": ["A"]},
            bring=True,
            install={"docker-ce": "28.1.1", "docker-cli": None},
            optional=["docker-cli"],
            remove=["runc"],
            hold=["docker-ce", "docker-cli"],
        )
    )
    assert told == [
        ({"text": "URIs: x/debian\nSuites: trixie\n", "fingerprints": ["A"]}, False),
        ({"docker-ce": "5:28.1.1"}, ["runc"]),
        ["docker-ce"],
    ]
