"""What a host says of its Docker: in the daemon's own words, without starting it, without altering anything."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import docker_state, firewall_look
from inferfleet.remote.docker_api import Docker
from inferfleet.remote.docker_info import in_force, same_setting
from tests.remote.docker_double import DockerDouble

INFO = {
    "DockerRootDir": "/srv/docker",
    "LiveRestoreEnabled": True,
    "LoggingDriver": "local",
    "CDISpecDirs": ["/etc/cdi"],
    "DefaultAddressPools": [{"Base": "10.200.0.0/16", "Size": 24}],
    "RegistryConfig": {
        "Mirrors": ["https://m.example/"],
        "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128", "10.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}, "r.example:5000": {"Secure": False}},
    },
}
ASK = {"network": "inferfleet", "label": "inferfleet.instance"}
RULES = {
    "nftables": [{"metainfo": {"version": "1"}}, {"rule": {"handle": 4, "chain": "outside", "expr": [{"drop": None}]}}]
}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    double = DockerDouble(tmp_path / "docker.sock")
    monkeypatch.setattr(docker_state, "Docker", lambda timeout: Docker(str(double.path), timeout))
    yield double
    double.close()


def test_what_is_in_force() -> None:
    assert in_force(INFO) == {
        "live-restore": True,
        "log-driver": "local",
        "registry-mirrors": ["https://m.example/"],
        "insecure-registries": ["r.example:5000", "10.0.0.0/8"],
        "default-address-pools": [{"base": "10.200.0.0/16", "size": 24}],
        "features.cdi": True,
    }


def test_of_docker_20_that_knows_no_cdi_and_has_no_registries() -> None:
    found = in_force({"LoggingDriver": "json-file", "RegistryConfig": None})
    assert (found["features.cdi"], found["registry-mirrors"], found["live-restore"]) == (False, [], False)


@pytest.mark.parametrize(
    ("key", "wanted", "found", "same"),
    [
        ("registry-mirrors", ["https://a"], ["https://b/", "https://a/"], True),
        ("insecure-registries", ["a"], [], False),
        ("live-restore", True, False, False),
        ("default-address-pools", [{"base": "a", "size": 24}], [{"base": "a", "size": 24}], True),
    ],
)
def test_same_setting(key: str, wanted: Any, found: Any, same: bool) -> None:
    assert same_setting(key, wanted, found) == same


def test_answers(docker: DockerDouble) -> None:
    docker.routes |= {
        "GET /info": INFO,
        "GET /version": {"Version": "28.1.1"},
        "GET /containers/json": [{"Labels": {"inferfleet.instance": "a"}}, {"Labels": None}],
        "GET /networks/inferfleet": {
            "Labels": None,
            "Driver": "bridge",
            "Options": {"x": "y"},
            "Containers": {"1": {}},
        },
    }
    found = docker_state.docker_answers(ASK)
    assert (found["version"], found["root"], found["running"], found["ours"]) == ("28.1.1", "/srv/docker", 2, 1)
    assert found["swarm"] is False
    assert found["network"] == {"labels": {}, "driver": "bridge", "options": {"x": "y"}, "containers": 1}
    assert {path.split()[0] for path in docker.paths()} == {"GET"}


def test_no_network_of_that_name(docker: DockerDouble) -> None:
    docker.routes |= {"GET /info": INFO, "GET /version": {}, "GET /containers/json": []}
    assert docker_state.docker_answers(ASK)["network"] is None


def test_a_docker_that_does_not_answer(docker: DockerDouble) -> None:
    docker.routes["GET /info"] = 500
    assert set(docker_state.docker_answers(ASK)) == {"error"}


def test_the_same_rules_have_other_handles_in_each_load() -> None:
    other = json.loads(json.dumps(RULES).replace('"handle": 4', '"handle": 9'))
    assert firewall_look.rules(json.dumps(RULES)) == firewall_look.rules(json.dumps(other)) is not None
    altered = json.loads(json.dumps(RULES).replace("drop", "accept"))
    assert firewall_look.rules(json.dumps(RULES)) != firewall_look.rules(json.dumps(altered))
    assert firewall_look.rules("Error: No such file or directory") is None


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"ours": 1, "running": []}', '{"ours": {"ip": {"set": 1}}}'])
def test_a_record_that_was_edited_is_no_reason_to_stop(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)
    assert docker_state.read_record(str(tmp_path / "record")) == {"ours": {}, "running": {}}


def test_the_daemons_process() -> None:
    found = docker_state.daemon_process(str(os.getpid()))
    assert found is not None
    assert found == docker_state.daemon_process(str(os.getpid())) | {"started": found["started"]}
    assert docker_state.daemon_process("0") is None


def test_a_disk_that_is_not_there_yet(tmp_path: Path) -> None:
    found = docker_state.disk(str(tmp_path / "var/lib/docker"))
    assert found["path"] == str(tmp_path)
    assert found["free"] > 0


def test_a_stopped_docker_is_not_asked(docker: DockerDouble, tmp_path: Path, run: Any) -> None:
    """Its socket would start it."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\nprintf 'Id=docker.service\\nActiveState=inactive\\nMainPID=0\\n'\n")
    (tmp_path / "systemctl").chmod(0o755)
    ask = {
        "packages": ["dpkg"],
        "source": {"path": "/x/a.sources", "keyring": "/x/a.gpg", "text": "URIs: x/{distribution}\n"},
        "daemon": str(tmp_path / "daemon.json"),
        "record": str(tmp_path / "record.json"),
        "bridge": "none",
        "firewall": {"path": "/x/f", "unit": "x.service", "table": "none-of-ours", "rules": ""},
        **ASK,
    }
    done = run("docker_state", ask, PATH=f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["docker"], found["process"], found["daemon"]["text"]) == ({}, None, None)
    assert docker.asked == []
