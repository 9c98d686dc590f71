"""What a host says of its containers, and of who is in their way."""

import json
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import container_state, container_units, toolkit_state
from inferfleet.remote.docker_api import Docker, DockerError
from inferfleet.remote.look import not_ours
from inferfleet.remote.units import version_at
from tests.remote.conftest import Site
from tests.remote.docker_double import DockerDouble

NGINX = '0 511 {}:11434 0.0.0.0:* users:(("nginx",pid=1,fd=6))'
WHO = "nginx (pid 1, no unit)"


@pytest.fixture
def ss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`ss` says what is in this file."""
    said = tmp_path / "said"
    (tmp_path / "ss").write_text(f"#!/bin/sh\nexec cat {said}\n")
    (tmp_path / "ss").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(container_state, "unit_of", lambda _: "no unit")
    return said


def _taken(listens: str, *published: tuple[str, int, str]) -> dict[str, str]:
    ask = {"addresses": {"ollama-gpu0": "127.0.0.1:11434"}, "listens": {"ollama-gpu0": listens}}
    return container_state.ports_taken(ask, list(published), [])


@pytest.mark.parametrize(
    ("declared", "theirs", "taken"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "*", True),
        ("127.0.0.1", "[::]", True),
        ("0.0.0.0", "10.20.0.11", True),
        ("::1", "[::1]", True),
        ("10.20.0.11", "10.20.0.11%eth0", True),
        ("127.0.0.1", "10.20.0.11", False),
        ("10.20.0.11", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_a_port_is_taken_where_both_cannot_listen(ss: Path, declared: str, theirs: str, taken: bool) -> None:
    """A proxy on the host's own address, in front of what listens on loopback at the same port, is usual."""
    ss.write_text("LISTEN " + NGINX.format(theirs) + "\n")
    assert _taken(declared) == ({"11434": WHO} if taken else {})
    ss.write_text("")
    container = (theirs.strip("[]").partition("%")[0], 11434, "the container web")
    assert _taken(declared, container) == ({"11434": "the container web"} if taken else {})


@pytest.mark.parametrize(
    "who",
    ['("docker-proxy",pid=7,fd=7)', '("dockerd",pid=7,fd=31)', '("dockerd",pid=7,fd=31),("docker-proxy",pid=8,fd=4)'],
)
def test_docker_listens_for_a_container(ss: Path, who: str) -> None:
    """With `"userland-proxy": false` the daemon itself does: no reason to refuse the host whose container it is."""
    ss.write_text(f"LISTEN 0 4096 127.0.0.1:11434 0.0.0.0:* users:({who})\n")
    assert _taken("127.0.0.1") == {}


def test_others_ports_and_a_container_that_is_being_removed(tmp_path: Path) -> None:
    docker = DockerDouble(tmp_path / "docker.sock")
    ports: list[Any] = [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    docker.routes["/containers/json"] = docker.routes["GET /containers/json"] = [
        {"Id": "1", "Names": ["/web"], "Labels": None, "Ports": ports},
        {"Id": "2", "Names": None, "Labels": {"inferfleet.instance": "ollama-gpu0"}, "Ports": None},
    ]
    try:
        found = container_state.containers(Docker(str(docker.path)), ["ollama-gpu0"])
    finally:
        docker.close()
    assert found == ({}, [("0.0.0.0", 8080, "the container web")])


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose Docker is stopped: `systemctl is-active` fails, and says nothing of any unit."""
    (tmp_path / "systemctl").write_text('#!/bin/sh\n[ "$1" != is-active ] || exit 3\n')
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_a_stopped_docker_is_not_asked(stopped: Path, ss: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever connects to its socket starts it, and a dry run starts nothing."""
    ss.write_text("")
    question = {
        "unit_dir": str(stopped),
        "environment_dir": str(stopped),
        "user": "root",
        "images": [{"runs": "web:1"}],
    }
    container_state.main({**question, "addresses": {"web": "127.0.0.1:9"}, "listens": {"web": "127.0.0.1"}})
    found = json.loads(capsys.readouterr().out)
    assert (found["docker"], found["containers"], found["images"]) == ("Docker does not run", {}, {"silent": True})


def test_nor_is_it_for_the_toolkit(stopped: Path) -> None:
    assert toolkit_state.docker_state() is None


def test_a_container_of_ours_goes_with_a_docker_that_is_gone(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who moved to native and removed Docker could never apply again."""
    (stopped / "web.env").write_text("")
    work = {"unit_dir": str(stopped), "environment_dir": str(stopped)}
    container_units.remove(Docker(str(stopped / "none.sock")), "web", work)
    assert capsys.readouterr().out == "web is removed\n" and not (stopped / "web.env").exists()


def test_but_not_while_docker_runs_and_does_not_answer(stopped: Path) -> None:
    (stopped / "systemctl").write_text("#!/bin/sh\n")
    with pytest.raises(DockerError, match="cannot be reached"):
        container_units.remove_container(Docker(str(stopped / "none.sock")), "web")


def test_an_id_that_begins_like_a_name_is_not_that_container(tmp_path: Path) -> None:
    """Docker takes the beginning of an ID for a name where it knows no such name."""
    docker = DockerDouble(tmp_path / "docker.sock")
    docker.routes["GET /containers/beef/json"] = {
        "Id": "beef1",
        "Config": {"Labels": {"inferfleet.instance": "ollama"}},
    }
    try:
        container_units.remove_container(Docker(str(docker.path)), "beef")
    finally:
        docker.close()
    assert docker.paths() == ["GET /containers/beef/json"]


def test_variables_of_the_image_are_told_apart(tmp_path: Path) -> None:
    docker = DockerDouble(tmp_path / "docker.sock")
    config = {"Image": "web:1", "Labels": {"inferfleet.instance": "web"}, "Env": ["PATH=/bin", "A=b=c"]}
    whole = {"Config": config, "HostConfig": {}, "State": {"Running": True, "Pid": 7}, "Image": "sha256:1"}
    docker.routes["GET /containers/1/json"] = whole
    docker.routes["GET /images/sha256:1/json"] = {"Config": {"Env": ["PATH=/bin"]}}
    try:
        found = container_state.container(Docker(str(docker.path)), {"Id": "1"})
    finally:
        docker.close()
    assert found is not None
    assert (found["environment"], found["of_image"]) == ({"PATH": "/bin", "A": "b=c"}, {"PATH": "/bin"})


def test_a_busy_host_is_given_time(site: Site) -> None:
    """Who is silent is made anew, in the midst of what it is answering."""

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(2.2)
        Site.say(handler, {"version": "0.32.15"})

    site.routes["/api/version"] = slow
    assert version_at(site.address) is None
    assert version_at(site.address, container_state.BUSY_S) == "0.32.15"


def test_addresses_that_no_interface_has() -> None:
    """192.0.2.0/24 is for documentation (RFC 5737)."""
    assert not_ours(["127.0.0.1", "0.0.0.0", "192.0.2.7", "127.0.0.1"]) == ["192.0.2.7"]
