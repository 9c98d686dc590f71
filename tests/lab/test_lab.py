"""Labs on this machine, for real: they do what they say and leave nothing behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import HostSpec, Lab, attach, current, ssh_data

pytestmark = [pytest.mark.lab, pytest.mark.alone]

BOTH = pytest.mark.parametrize("name", ["gpu1", "cpu1"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(f"t-{os.getpid()}", [HostSpec("gpu1"), HostSpec("cpu1", suite="bookworm")]) as made:
        yield made


# --- hosts -------------------------------------------------------------------------------------


@BOTH
def test_a_host_runs_and_is_bare(lab: Lab, name: str) -> None:
    host = lab.hosts[name]
    assert host.run("systemctl is-system-running --wait").stdout.strip() == "running"
    assert host.run("hostname").stdout.strip() == name
    assert host.run("sudo -u deploy sudo -n id -u").stdout.strip() == "0"
    assert host.run("command -v docker curl wget gpg nvidia-smi", check=False).stdout == ""
    assert host.run("ls -A /var/lib/docker /var/lib/containerd /var/lib/apt/lists").stdout.split() == [
        "/var/lib/apt/lists:",
        "/var/lib/containerd:",
        "/var/lib/docker:",
    ]


def test_suites_are_what_was_asked_for(lab: Lab) -> None:
    found = {
        name: host.run(". /etc/os-release; echo $VERSION_CODENAME").stdout.strip() for name, host in lab.hosts.items()
    }
    assert found == {"gpu1": "trixie", "cpu1": "bookworm"}


@BOTH
def test_apt_installs_a_package(lab: Lab, name: str) -> None:
    host = lab.hosts[name]
    host.run("apt-get -o APT::Update::Error-Mode=any update && DEBIAN_FRONTEND=noninteractive apt-get install -y hello")
    assert host.run("hello").stdout == "Hello, world!\n"


def test_docker_directories_are_not_on_an_overlay(lab: Lab) -> None:
    kinds = lab.hosts["gpu1"].run("stat -f -c %T / /var/lib/docker /var/lib/containerd").stdout.split()
    assert kinds[0] == "overlayfs"
    assert "overlayfs" not in kinds[1:]


def test_hosts_know_each_other_and_nothing_further(lab: Lab) -> None:
    assert lab.hosts["gpu1"].run("ping -c 1 -W 2 cpu1", check=False).returncode == 0
    assert lab.hosts["gpu1"].run("ping -c 1 -W 2 lab", check=False).returncode == 0
    away = lab.hosts["gpu1"].run("ping -c 1 -W 1 192.0.2.1", check=False)  # TEST-NET-1, RFC 5737
    assert away.returncode != 0


def test_a_failing_command_is_one_line(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"^gpu1: exit status 3: echo no >&2; exit 3: no$"):
        lab.hosts["gpu1"].run("echo no >&2; exit 3")
    with pytest.raises(LabError, match=r"^gpu1: not done after 0.5 s: sleep 9$"):
        lab.hosts["gpu1"].run("sleep 9", timeout=0.5)


# --- power -------------------------------------------------------------------------------------


def host_key(lab: Lab, address: str) -> str:
    found = subprocess.run(["ssh-keyscan", "-t", "ed25519", address], capture_output=True, text=True)
    return found.stdout.strip()


def test_reset_gives_a_bare_host_in_seconds(lab: Lab) -> None:
    host = lab.hosts["gpu1"]
    before = host_key(lab, host.address)
    host.run("touch /root/mark /var/lib/docker/mark && systemctl mask cron.service")
    begun = time.monotonic()
    host.reset()
    assert time.monotonic() - begun < 10
    gone = host.run("ls /root/mark /var/lib/docker/mark /etc/systemd/system/cron.service", check=False)
    assert (gone.returncode, gone.stdout) == (2, "")
    assert host_key(lab, host.address) == before != ""


def test_reboot_is_a_new_boot(lab: Lab) -> None:
    host = lab.hosts["cpu1"]
    host.run("touch /root/kept")
    before = host.boot_id()
    host.reboot()
    assert host.boot_id() not in ("", before)
    assert float(host.run("cut -d' ' -f1 /proc/uptime").stdout) < 30
    assert host.run("ls /root/kept").stdout == "/root/kept\n"
    assert host.run("systemctl is-system-running --wait").stdout.strip() == "running"


def test_a_power_cut_keeps_the_disk(lab: Lab) -> None:
    host = lab.hosts["gpu1"]
    host.run("touch /root/kept")
    before = host.boot_id()
    host.cut()
    assert not host.powered
    assert lab.hosts["cpu1"].run("ping -c 1 -W 1 gpu1", check=False).returncode != 0
    host.on()
    assert host.boot_id() != before
    assert host.run("ls /root/kept").stdout == "/root/kept\n"


# --- the lab -----------------------------------------------------------------------------------


def test_a_host_can_be_added(lab: Lab) -> None:
    added = lab.add(HostSpec("late"))
    assert lab.hosts["gpu1"].run("ping -c 1 -W 2 late", check=False).returncode == 0
    assert added.run("ping -c 1 -W 2 gpu1", check=False).returncode == 0
    with pytest.raises(LabError, match="host late: there twice"):
        lab.add(HostSpec("late"))


def test_a_service_listens_for_the_lab_only(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("from the lab side")
    argv = [sys.executable, "-m", "http.server", "--bind", lab.gateway, "--directory", tmp_path, "8080"]
    lab.serve(argv, "files", port=8080)
    read = f"import urllib.request as u; print(u.urlopen('http://{lab.gateway}:8080/word').read().decode())"
    assert lab.hosts["cpu1"].run(f'python3 -c "{read}"').stdout == "from the lab side\n"


def test_a_service_that_dies_is_an_error(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"^broken: has ended: no such thing; "):
        lab.serve(["sh", "-c", "echo no such thing; exit 1"], "broken", port=8081)


def test_pyinfra_reaches_the_hosts_with_their_real_keys(lab: Lab, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.py"
    inventory.write_text(f"hosts = {[(name, ssh_data(name, lab)) for name in ('gpu1', 'cpu1')]!r}\n")
    argv = ["pyinfra", "-y", str(inventory), "exec", "--", "echo", "uid=$(id -u)"]
    done = subprocess.run([sys.executable, "-m", *argv], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout + done.stderr).count("uid=0") == 2, done.stderr


def test_a_strange_host_key_is_refused(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    lines = lab.known_hosts.read_text().splitlines()
    swapped = [f"{lines[0].split()[0]} {lines[1].split(' ', 1)[1]}"]
    other.write_text("\n".join(swapped) + "\n")
    data = {**ssh_data("gpu1", lab), "ssh_known_hosts_file": str(other)}
    inventory = tmp_path / "inventory.py"
    inventory.write_text(f"hosts = [('gpu1', {data!r})]\n")
    argv = [sys.executable, "-m", "pyinfra", "-y", str(inventory), "exec", "--", "id"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "host key" in (done.stdout + done.stderr).lower()


def test_a_running_lab_can_be_attached(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attach(lab.name).hosts["gpu1"].run("hostname").stdout == "gpu1\n"
    monkeypatch.setenv("INFERFLEET_LAB", lab.name)
    assert current().gateway == lab.gateway
    monkeypatch.setenv("INFERFLEET_LAB", "nowhere")
    with pytest.raises(LabError, match=r"^lab nowhere: is not up; start it with: sudo inferfleet lab up nowhere$"):
        ssh_data("gpu1")


def test_a_name_is_taken_once(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"lab {lab.name}: is up already; inferfleet lab down {lab.name}"):
        Lab(lab.name, [HostSpec("x")]).up()
    assert lab.hosts["gpu1"].run("true").returncode == 0


def test_two_labs_with_the_same_host_names(lab: Lab) -> None:
    with Lab(f"u-{os.getpid()}", [HostSpec("gpu1")]) as other:
        assert other.hosts["gpu1"].address != lab.hosts["gpu1"].address
        other.hosts["gpu1"].run("touch /root/of-the-other")
        assert lab.hosts["gpu1"].run("ls /root/of-the-other", check=False).returncode != 0
        other.hosts["gpu1"].reboot()
        assert lab.hosts["gpu1"].run("hostname").stdout == "gpu1\n"
    assert lab.hosts["gpu1"].run("hostname").stdout == "gpu1\n"


PURE = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$0" -c "$1"
"""
PURE_LAB = """
from inferfleet.lab import HostSpec, Lab
from inferfleet.lab.cgroup import hierarchies
with Lab({name!r}, [HostSpec("gpu1")]) as lab:
    host = lab.hosts["gpu1"]
    host.reboot()
    host.reset()
    print(*hierarchies(), host.run("systemctl is-system-running --wait").stdout)
"""


def test_a_machine_with_cgroup2_only() -> None:
    code = PURE_LAB.format(name=f"pure-{os.getpid()}")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", PURE, sys.executable, code], capture_output=True, text=True
    )
    assert done.stdout.split() == ["/sys/fs/cgroup", "running"], done.stderr
