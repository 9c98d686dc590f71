"""Docker on real hosts: from the distribution and from a signed repository, beside other people's, and closed."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.mirror.repositories import prepare_repositories
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.paths import cache_dir
from tests.lab.docker_project import DockerProject, reachable

pytestmark = pytest.mark.lab

JSON = "/etc/docker/daemon.json"
TABLE = "nft list table inet inferfleet"
THEIRS: dict[str, Any] = {
    "labels": ["rack=7"],
    "features": {"buildkit": True},
    "insecure-registries": ["old.example:5000"],
}
# In the way of `systemctl restart docker`: there the run that calls it dies.
DEADLY = "#!/bin/sh\n[ \"$*\" = 'restart docker' ] && kill -9 $PPID && exit 1\n" + 'exec /usr/bin/systemctl "$@"\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerProject]:
    """A bare host, a peer in its network, and Docker's repository beside them. Somebody has set up daemon.json."""
    root = tmp_path_factory.mktemp("mirror")
    made = prepare_repositories(cache_dir() / "mirror", cache_dir(), lambda _: None, suites=("trixie",), versions=())
    with Lab(f"dk{os.getpid() % 10**6}", [HostSpec("dock"), HostSpec("peer")]) as lab:
        serve_mirror(lab, made.root)
        project = DockerProject(root, lab, "dock", made.fingerprint)
        lab.hosts["dock"].run(f"mkdir -p /etc/docker; cat >{JSON}", stdin=json.dumps(THEIRS))
        yield project


@pytest.fixture(scope="module")
def peer(project: DockerProject) -> LabHost:
    return project.lab.hosts["peer"]


@pytest.fixture
def ready(project: DockerProject) -> DockerProject:
    """Docker is there and as declared by default, with a container of somebody else."""
    project.declare(replace=True)
    run = project.apply()
    assert run.rc == 0, run.text
    if not project.sh("docker ps -q -f name=other"):
        project.web_image()
        project.web("other", "-p 0.0.0.0:8081:80")
    return project


def settle(project: DockerProject) -> str:
    """Apply, and once more without a change; what the first run said."""
    run = project.apply()
    assert run.rc == 0, run.text
    again = project.apply()
    assert (again.rc, again.changes) == (0, {}), again.text
    return run.text


def refused(project: DockerProject, words: str) -> None:
    """The run fails with one line that says so."""
    run = project.apply()
    assert run.rc == 1, run.text
    assert "Traceback" not in run.text
    lines = {line.split("] ", 1)[-1] for line in run.text.splitlines() if words in line and "will refuse" not in line}
    assert len(lines) == 1, run.text


def daemon_json(project: DockerProject) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.sh(f"cat {JSON}"))
    return found


# --- packages -----------------------------------------------------------------------------------------


def test_docker_of_the_distribution(project: DockerProject) -> None:
    project.declare(package="docker.io")
    settle(project)
    assert project.sh("apt-mark showhold").split() == ["containerd", "docker-cli", "docker.io"]
    found = daemon_json(project)
    assert found["labels"] == THEIRS["labels"]
    assert found["features"] == {"buildkit": True, "cdi": True}
    assert found["insecure-registries"] == THEIRS["insecure-registries"]
    told = project.sh("docker info -f '{{.LiveRestoreEnabled}} {{.LoggingDriver}} {{.CDISpecDirs}} {{.Labels}}'")
    assert told == "true local [/etc/cdi /var/run/cdi] [rack=7]"


def test_docker_of_the_distribution_is_not_ripped_out(project: DockerProject) -> None:
    project.declare()
    refused(project, "docker.io, docker-cli, containerd, runc stands in the way of docker-ce")
    assert project.sh("docker version -f '{{.Server.Version}}'").startswith("26.1")


def test_a_key_with_another_fingerprint_leaves_nothing_behind(project: DockerProject) -> None:
    project.declare(replace=True)
    right = project.data["sources"]["docker_fingerprint"]
    project.data["sources"]["docker_fingerprint"] = "A" * 40
    refused(project, f"has fingerprint {right}, expected is {'A' * 40}; nothing was changed")
    project.data["sources"]["docker_fingerprint"] = right
    assert project.sh("ls /etc/apt/keyrings /etc/apt/sources.list.d") == (
        "/etc/apt/keyrings:\n\n/etc/apt/sources.list.d:\ndebian.sources"
    )
    assert project.sh("docker version -f '{{.Server.Version}}'").startswith("26.1")


def test_docker_from_its_own_repository_at_a_pin(project: DockerProject) -> None:
    project.declare(replace=True, version="5:26.1.5-1~debian.13~trixie")
    said = settle(project)
    assert "remove docker.io: stands in the way of docker-ce" in said
    assert project.sh("apt-mark showhold").split() == ["containerd.io", "docker-ce", "docker-ce-cli"]
    assert project.sh("dpkg-query -W -f '${Version}' docker-ce") == "5:26.1.5-1~debian.13~trixie"
    assert project.sh("apt-get -s dist-upgrade | grep -c ^Inst.docker || true") == "0"


def test_upgrade_by_the_pin_alone(project: DockerProject) -> None:
    project.declare(version="5:26.1.5-2~debian.13~trixie")
    settle(project)
    assert project.sh("dpkg-query -W -f '${Version}' docker-ce-cli") == "5:26.1.5-2~debian.13~trixie"


def test_a_version_that_is_not_there(project: DockerProject) -> None:
    project.declare(version="27.0.1")
    refused(project, "no source of this host has docker-ce 27.0.1: there are 5:26.1.5-2~debian.13~trixie, 5:26.1.5-1")


# --- the daemon ---------------------------------------------------------------------------------------


def test_a_container_outlives_a_restart(ready: DockerProject) -> None:
    pid = ready.sh("docker inspect -f '{{.State.Pid}}' other")
    ready.declare(log_max_files=5)
    assert "(1 running container outlives it: live-restore)" in settle(ready)
    assert ready.sh("docker inspect -f '{{.State.Pid}}' other") == pid
    assert daemon_json(ready)["log-opts"]["max-file"] == "5"


def test_settings_come_and_go(ready: DockerProject) -> None:
    """A reload is enough for a registry; its going, and address pools, need a restart. Others' entries stay."""
    started = ready.sh("systemctl show -P MainPID docker")
    ready.declare(insecure_registries=["10.0.0.1:5000"])
    assert "(a reload is enough)" in settle(ready)
    assert ready.sh("systemctl show -P MainPID docker") == started
    assert daemon_json(ready)["insecure-registries"] == ["old.example:5000", "10.0.0.1:5000"]
    ready.declare(address_pools=[{"base": "10.201.0.0/16", "size": 24}])
    settle(ready)
    assert ready.sh("systemctl show -P MainPID docker") != started
    assert daemon_json(ready)["insecure-registries"] == ["old.example:5000"]
    ready.declare()
    settle(ready)
    assert "default-address-pools" not in daemon_json(ready)


def test_killed_between_writing_and_restarting(ready: DockerProject) -> None:
    ready.declare(log_max_size="11m", registry_mirrors=["https://mirror.example"])
    ready.machine.run("cat >/usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl", stdin=DEADLY)
    killed = ready.apply()
    ready.sh("rm /usr/local/bin/systemctl")
    assert killed.rc == 1, killed.text
    assert daemon_json(ready)["log-opts"]["max-size"] == "11m"
    dry = ready.dry()
    assert "restart Docker: " in dry.text, dry.text
    assert f"write {JSON}" not in dry.text
    settle(ready)
    assert "https://mirror.example/" in ready.sh("docker info -f '{{.RegistryConfig.Mirrors}}'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{nonsense", "daemon.json is not JSON"),
        ('{"nonsense": 1}', "Docker would not take the new daemon.json: "),
    ],
)
def test_a_daemon_json_that_docker_would_not_take(ready: DockerProject, text: str, words: str) -> None:
    ready.sh(f"cp {JSON} /tmp/kept; printf '{text}' >{JSON}")
    refused(ready, words)
    assert ready.sh(f"cat {JSON}") == text
    assert ready.sh("docker ps -q | wc -l") == "1"
    ready.sh(f"cp /tmp/kept {JSON}")


def test_a_full_disk(ready: DockerProject) -> None:
    ready.declare(log_max_files=9)
    ready.sh("mount -t tmpfs -o size=10m tmpfs /var/lib/docker")
    try:
        refused(ready, "the disk of Docker's data is full (/var/lib/docker has 10 MB free)")
    finally:
        ready.sh("umount /var/lib/docker")


# --- drift ----------------------------------------------------------------------------------------------

RESTART = "systemctl restart docker"
RULES = 'oifname "inferfleet0" iifname != "inferfleet0" ct state != { established, related } jump outside'
# Commands, and the words in which the dry run says what they did; those of one round do not hide each other.
DRIFT = [
    {
        "apt-mark unhold docker-ce": "repair docker-ce: is not held",
        "rm /etc/apt/keyrings/docker.gpg": "docker.gpg: is missing",
        "echo >>/etc/apt/sources.list.d/docker.sources": "docker.sources: differs from what is declared",
        "systemctl disable --quiet docker": "enable Docker: does not start at boot",
        f"sed -i s/10m/20m/ {JSON}": "daemon.json: declared: log-opts is {",
        "docker network rm inferfleet": "create network inferfleet: is missing",
        "nft insert rule inet inferfleet forward accept": "repair table inet inferfleet: was altered",
    },
    {
        "dpkg --force-depends -r docker-ce-cli": "install docker-ce-cli 5:26.1.5",
        f"sed -i s/local/json-file/ {JSON}; {RESTART}": "restart Docker: log-driver is json-file, declared is local",
        "ip link delete inferfleet0": "its bridge inferfleet0 is gone",
        "sed -i /drop/d /etc/inferfleet/firewall.nft; systemctl reload inferfleet-firewall": "nft: is not as declared",
        "systemctl disable --quiet inferfleet-firewall": "enable inferfleet-firewall.service",
    },
    {
        "dpkg --force-depends -r iptables": "install iptables: is missing",
        "systemctl mask --quiet --now docker": "Docker: is masked",
        f"rm {JSON}": "daemon.json: declared: features.cdi is true",
        "systemctl stop inferfleet-firewall; nft delete table inet inferfleet": "table inet inferfleet: is missing",
        "rm /etc/systemd/system/inferfleet-firewall.service": "firewall.service: is missing",
    },
]


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_seen_and_healed(ready: DockerProject, drift: dict[str, str]) -> None:
    ready.sh("nft add table inet theirs; nft add chain inet theirs c")
    pid = ready.sh("docker inspect -f '{{.State.Pid}}' other")
    for command in drift:
        ready.sh(command)
    dry = ready.dry()
    assert [words for words in drift.values() if words not in dry.text] == [], dry.text
    settle(ready)
    assert RULES in ready.sh(TABLE)
    assert "chain c" in ready.sh("nft list table inet theirs")
    assert ready.sh("docker inspect -f '{{.State.Pid}}' other") == pid, "somebody else's container was stopped"


# --- published ports --------------------------------------------------------------------------------------

OPEN = {"other", "other inside", "declared"}
Ports = dict[str, str]


@pytest.fixture
def ports(ready: DockerProject, peer: LabHost) -> Ports:
    """What a peer may try -> at which address. The peer routes to the containers and, for 127.0.0.1, to the host."""
    ready.data["published"] = [["0.0.0.0", 8085]]
    assert ready.apply().rc == 0
    host, other = ready.machine.address, ready.web("other", "-p 0.0.0.0:8081:80")
    anywhere = ready.web("anywhere", "--network inferfleet -p 0.0.0.0:8082:80")
    loopback = ready.web("loopback", "--network inferfleet -p 127.0.0.1:8083:80")
    ready.web("plain", "--network inferfleet -p 8084:80")
    ready.web("declared", "--network inferfleet -p 0.0.0.0:8085:80")
    for network in (other, anywhere):
        peer.run(f"ip route replace {network.rpartition('.')[0]}.0/24 via {host}")
    peer.run(
        "ip address delete 127.0.0.1/8 dev lo 2>/dev/null; ip route flush table local 127.0.0.0/8; "
        f"sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route replace 127.0.0.1 via {host} src {peer.address}"
    )
    return {
        "other": f"{host}:8081",
        "other inside": f"{other}:80",
        "declared": f"{host}:8085",
        "anywhere": f"{host}:8082",
        "loopback": f"{host}:8083",
        "plain": f"{host}:8084",
        "anywhere inside": f"{anywhere}:80",
        "loopback inside": f"{loopback}:80",
        "loopback by its own name": "127.0.0.1:8083",
        "plain by its own name": "127.0.0.1:8084",
        "declared by its own name": "127.0.0.1:8085",
    }


def answers(ports: Ports, peer: LabHost) -> set[str]:
    """Which of them answer the peer."""
    found = reachable(peer, *ports.values())
    return {name for name, address in ports.items() if address in found}


def test_published_ports_are_closed_to_the_outside(ready: DockerProject, peer: LabHost, ports: Ports) -> None:
    """Without our table all but two answer; with it, only what is declared, and what is somebody else's."""
    ready.sh("systemctl stop inferfleet-firewall; nft delete table inet inferfleet")
    there = {name for name in ports if name.endswith(("inside", "name"))} | {*OPEN, "anywhere"}
    assert answers(ports, peer) == there
    settle(ready)
    assert answers(ports, peer) == OPEN
    at_home = reachable(ready.machine, "127.0.0.1:8083", "127.0.0.1:8084", "127.0.0.1:8085")
    assert len(at_home) == 3, "the host itself reaches them"


def test_published_at_the_hosts_address_for_gateways_alone(ready: DockerProject, peer: LabHost) -> None:
    host = ready.machine.address
    ready.web("fleet", f"--network inferfleet -p {host}:8086:80")
    ready.data["published"] = [[host, 8086]]
    try:
        for gateway, found in (("10.9.9.9", set()), (peer.address, {f"{host}:8086"})):
            ready.data["closed"] = [host, [gateway, "fd00::9"], []]
            settle(ready)
            assert reachable(peer, f"{host}:8086") == found
    finally:
        del ready.data["closed"]


def test_still_closed_after_nftables(ready: DockerProject, peer: LabHost, ports: Ports) -> None:
    """Each flushes all rules, Docker's too: its proxy then answers at 0.0.0.0, where no undeclared instance is."""
    for verb in ("restart", "reload", "stop", "start"):
        ready.sh(f"nft flush ruleset; systemctl {verb} nftables")
        ready.sh(f"for n in $(seq 50); do {TABLE} >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1")
        assert answers(ports, peer) <= {*OPEN, "anywhere"}, verb
    ready.sh(RESTART)
    assert answers(ports, peer) == OPEN


def test_still_closed_after_a_reboot(ready: DockerProject, peer: LabHost, ports: Ports) -> None:
    ready.machine.reboot()
    ready.sh("systemctl is-system-running --wait || true")  # sshd lets in before Docker is up
    assert ready.sh("systemctl is-active docker inferfleet-firewall") == "active\nactive"
    ready.sh("docker start other anywhere loopback plain declared >/dev/null")
    assert answers(ports, peer) == OPEN
    assert ready.apply().changes == {}
