"""The mirror's signed apt repositories, used by apt of real hosts: what is in them runs, a stranger's is refused."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.gpu.driver import DRIVER
from inferfleet.lab.mirror.apt_repository import Vendor, flat_repository
from inferfleet.lab.mirror.deb import build_deb, write
from inferfleet.lab.mirror.docker_ce import RELEASES
from inferfleet.lab.mirror.repositories import Repositories, prepare_repositories
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.mirror.signing import STRANGER, signing_key
from inferfleet.lab.mirror.toolkit import OLDER, TOOLKIT
from inferfleet.lab.paths import cache_dir

pytestmark = pytest.mark.lab

# Error-Mode: else apt-get update ends with 0 although it trusts nothing of what it got.
UPDATE = "apt-get update -q -o APT::Update::Error-Mode=any"
ONLY = "-o APT::Get::List-Cleanup=0 -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::sourcelist="
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
FOUR = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
STRANGERS_PORT = 8080
HOSTS = pytest.mark.parametrize("name", ["trixie", "bookworm"])


@pytest.fixture(scope="module")
def repositories() -> Repositories:
    return prepare_repositories(cache_dir() / "mirror", cache_dir(), print, versions=[OLDER, TOOLKIT], drivers=[DRIVER])


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror with one repository that is signed by a key which no host trusts."""
    root = tmp_path_factory.mktemp("strangers")
    write("#!/bin/sh\n", root / "tree", "usr/bin/tool", run=True)
    deb = build_deb(root / "tree", {"Package": "tool", "Version": "1-1", "Description": "a tool"}, root)
    flat_repository(root / "flat", [deb], signing_key(cache_dir(), print, STRANGER), Vendor("S", "S"))
    return root


@pytest.fixture(scope="module")
def lab(repositories: Repositories, strangers: Path) -> Iterator[Lab]:
    with Lab(
        f"r{os.getpid() % 10**6}",
        [HostSpec("trixie", gpus=("A30",) * 2), HostSpec("bookworm", "bookworm", gpus=("A30",), driver=False)],
    ) as lab:
        serve_mirror(lab, repositories.root)
        serve_mirror(lab, strangers, port=STRANGERS_PORT)
        for host in lab.hosts.values():
            host.run(f"{UPDATE} && install -d /etc/apt/keyrings")
            host.run(f"cat > /etc/apt/keyrings/lab.asc <<'END'\n{repositories.key.armored}END\n")
        yield lab


def add_source(host: LabHost, name: str, uri: str, suites: str, components: str = "") -> None:
    lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suites}", "Signed-By: /etc/apt/keyrings/lab.asc"]
    text = "\n".join([*lines, *([f"Components: {components}"] if components else [])])
    path = f"/etc/apt/sources.list.d/{name}.sources"
    host.run(f"cat > {path} && {UPDATE} {ONLY}{path}", stdin=f"{text}\n")


def installed(host: LabHost, *packages: str) -> set[str]:
    return set(host.run(f"dpkg-query -W -f '${{Version}}\\n' {' '.join(packages)}").stdout.split())


def offered(host: LabHost, lab: Lab) -> tuple[str, str]:
    """The two versions of docker-ce in the repository for the host's suite, the older one first."""
    suite = host.spec.suite
    add_source(host, "docker", f"http://{lab.gateway}/linux/debian", suite, "stable")
    second, first = (line.split()[2] for line in host.run("apt-cache madison docker-ce").stdout.splitlines())
    assert re.fullmatch(rf"5:\d+\.\d+\.\d+-1~debian\.{RELEASES[suite]}~{suite}", first)
    assert second == first.replace("-1~", "-2~")
    return first, second


def works(host: LabHost, version: str) -> bool:
    """Docker of that version runs on a real file system, and so does a container."""
    info = host.run("docker info -f '{{.ServerVersion}} {{.Driver}} {{.DefaultRuntime}}'").stdout
    upstream = version.partition(":")[2].partition("-")[0]
    container = "tar -C /usr/bin -c docker-init | docker import - tiny && docker run --rm --init --network none tiny"
    said = host.run(f"{container} /docker-init --version").stdout
    return bool(re.fullmatch(rf"{re.escape(upstream)}\S* overlay2 runc\n", info)) and "tini version" in said


def test_docker_installs_at_a_pin_and_upgrades(lab: Lab) -> None:
    host = lab.host("trixie")
    first, second = offered(host, lab)
    host.run(f"{INSTALL} docker-ce={first} docker-ce-cli={first} containerd.io")
    assert installed(host, "docker-ce", "docker-ce-cli") == {first}
    assert host.run("apt-get -s install docker-ce docker.io", check=False).returncode == 100
    host.run(f"{INSTALL} docker-ce docker-ce-cli")
    assert installed(host, "docker-ce", "docker-ce-cli") == {second}
    assert works(host, second)
    host.run("systemctl is-active docker docker.socket containerd")
    assert host.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_docker_and_its_plugins_run_on_the_older_system(lab: Lab) -> None:
    host = lab.host("bookworm")
    _, newest = offered(host, lab)
    host.run(f"{INSTALL} docker-ce docker-buildx-plugin docker-compose-plugin")
    assert works(host, newest)
    assert "docker/buildx" in host.run("docker buildx version").stdout
    assert "Compose version" in host.run("docker compose version").stdout


def refreshed(host: LabHost) -> bool:
    """The toolkit's unit has written a specification of just the host's cards; the last one is thrown away."""
    host.run("rm -f /run/cdi/nvidia.yaml && systemctl reset-failed nvidia-cdi-refresh.service")
    host.run("systemctl start nvidia-cdi-refresh.service && test -s /run/cdi/nvidia.yaml")
    listed = host.run("nvidia-ctk cdi list").stdout.split()
    return {name for name in listed if "=GPU-" in name} == {f"nvidia.com/gpu={card.uuid}" for card in host.gpus}


def test_the_toolkit_installs_at_a_pin_and_upgrades(lab: Lab) -> None:
    host = lab.host("trixie")
    add_source(host, "toolkit", f"http://{lab.gateway}/libnvidia-container/stable/deb/amd64", "/")
    host.run(f"{INSTALL} {' '.join(f'{package}={OLDER}-1' for package in FOUR)}")
    assert installed(host, *FOUR) == {f"{OLDER}-1"}
    assert OLDER in host.run("nvidia-ctk --version").stdout
    host.run("test -e /etc/systemd/system/nvidia-cdi-refresh.path")
    assert refreshed(host)
    with pytest.raises(LabError, match=rf"Depends libnvidia-container-tools \(= {TOOLKIT}-1\)"):
        host.run(f"{INSTALL} nvidia-container-toolkit={TOOLKIT}-1 libnvidia-container-tools={OLDER}-1")
    host.run(f"{INSTALL} {' '.join(f'{package}={TOOLKIT}-1' for package in FOUR)}")
    assert installed(host, *FOUR) == {f"{TOOLKIT}-1"}
    assert TOOLKIT in host.run("nvidia-ctk --version").stdout
    host.run("test ! -e /etc/systemd/system/nvidia-cdi-refresh.path")
    units = "nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
    assert host.run(f"systemctl is-enabled {units}").stdout == "enabled\nenabled\n"
    assert host.run("systemctl is-active nvidia-cdi-refresh.path").stdout == "active\n"
    assert refreshed(host)
    host.run("grep -q 'nvidia-container-runtime' /etc/nvidia-container-runtime/config.toml")
    assert "lab" in host.run("nvidia-container-cli info", check=False).stderr


def test_the_toolkit_runs_on_the_older_system(lab: Lab) -> None:
    host = lab.host("bookworm")
    add_source(host, "toolkit", f"http://{lab.gateway}/libnvidia-container/stable/deb/amd64", "/")
    host.run(f"{INSTALL} nvidia-container-toolkit")
    assert installed(host, *FOUR) == {f"{TOOLKIT}-1"}
    assert TOOLKIT in host.run("nvidia-ctk --version").stdout


def test_drivers_install_on_bare_cards(lab: Lab) -> None:
    host = lab.host("bookworm")
    assert host.run("nvidia-smi -L", check=False).returncode == 127
    uri = f"http://{lab.gateway}/compute/cuda/repos/debian{RELEASES['bookworm']}/x86_64"
    add_source(host, "cuda", uri, "/")
    host.run(f"{INSTALL} nvidia-open && modprobe nvidia")
    assert installed(host, "nvidia-open", "nvidia-driver-cuda") == {f"{DRIVER}-1"}
    assert host.gpus[0].uuid in host.run("nvidia-smi -L").stdout


@HOSTS
def test_a_strangers_repository_is_refused(name: str, lab: Lab) -> None:
    host = lab.host(name)
    with pytest.raises(LabError, match="is not signed"):
        add_source(host, "stranger", f"http://{lab.gateway}:{STRANGERS_PORT}/flat", "/")
    host.run("rm /etc/apt/sources.list.d/stranger.sources")
