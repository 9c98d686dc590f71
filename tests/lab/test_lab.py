"""Labs on this machine, for real: they do what they say and leave nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import HostSpec, Lab, attach, current, ssh_data
from inferfleet.lab.cgroup import hierarchies
from inferfleet.lab.paths import apt_cache_dir, labs_dir
from inferfleet.lab.state import Process

pytestmark = pytest.mark.lab

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


# --- nothing is left ---------------------------------------------------------------------------

LAB_TAG = re.compile(r"(?:ifl|inferfleet-)(\d+-[0-9a-f]{4})\b")
LAB_NET = re.compile(r"\b10\.77\.(\d+)\.")


def lines_of(*argv: str) -> set[str]:
    if shutil.which(argv[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
        return set()
    return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines())


def machine() -> dict[str, set[str]]:
    """All of this machine that a lab might touch."""
    return {
        "links": lines_of("ip", "-oneline", "link"),
        "addresses": lines_of("ip", "-oneline", "address"),
        "routes": lines_of("ip", "route", "show", "table", "all"),
        "policies": lines_of("ip", "rule"),
        "firewall": lines_of("nft", "list", "ruleset") | lines_of("iptables-save"),
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text()},
        "namespaces": lines_of("ip", "netns"),
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups": {str(path) for top in hierarchies() for path in top.rglob("*") if path.is_dir()},
        "labs": {path.name for path in labs_dir().iterdir()},
        "run": {path.name for path in Path("/run").iterdir()},
    }


@pytest.fixture
def before() -> dict[str, set[str]]:
    labs_dir().mkdir(parents=True, exist_ok=True)
    return machine()


def left_over(before: dict[str, set[str]], tag: str) -> dict[str, set[str]]:
    """What is new on this machine, but for what carries the name of another lab, which may come and go."""

    def of_another(line: str) -> bool:
        tags, nets = set(LAB_TAG.findall(line)), set(LAB_NET.findall(line))
        return bool(tags - {tag} or nets - {tag.split("-")[0]})

    new = {kind: {line for line in lines - before[kind] if not of_another(line)} for kind, lines in machine().items()}
    new["labs"] = {name for name in new["labs"] if not re.fullmatch(r"[stu]-\d+|t\d+", name)}
    return {kind: lines for kind, lines in new.items() if lines}


def processes_of(tag: str, init: Process) -> set[Process]:
    """Every process in the lab's cgroup or in one of its namespaces."""
    kinds = ("pid", "net", "mnt")
    theirs = {os.readlink(f"/proc/{init.pid}/ns/{kind}") for kind in kinds}
    cgroup = hierarchies()[0] / f"inferfleet-{tag}"
    members = [pid for procs in cgroup.rglob("cgroup.procs") for pid in procs.read_text().split()]
    found = {process for pid in members if (process := Process.find(int(pid)))}
    assert len(found) > 10  # a systemd and what it runs: the list is not an empty promise
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            its = {os.readlink(entry / "ns" / kind) for kind in kinds}
        except OSError:
            continue
        if its & theirs and (process := Process.find(int(entry.name))):
            found.add(process)
    return found


def wait_gone(processes: set[Process], limit_s: float = 5.0) -> set[Process]:
    end = time.monotonic() + limit_s
    while (left := {process for process in processes if process.alive()}) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def test_down_leaves_nothing(before: dict[str, set[str]]) -> None:
    lab = Lab(f"gone-{os.getpid()}", [HostSpec("gpu1"), HostSpec("cpu1")], keep=True).up()
    tag, init = lab.state.tag, lab.state.init
    assert init is not None
    processes = processes_of(tag, init)
    assert {"links", "addresses", "routes", "cgroups", "labs"} <= set(left_over(before, tag))
    begun = time.monotonic()
    lab.down()
    assert time.monotonic() - begun < 5
    assert wait_gone(processes, 0.5) == set()
    assert left_over(before, tag) == {}


OWNER = """
import time
from inferfleet.lab import HostSpec, Lab
with Lab({name!r}, [HostSpec("gpu1")]) as lab:
    print(lab.state.tag, lab.state.init.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(before: dict[str, set[str]]) -> Iterator[subprocess.Popen[str]]:
    """A process that owns a lab of one host, which is up."""
    code = OWNER.format(name=f"orphan-{os.getpid()}")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_a_lab_dies_with_its_owner_and_the_next_up_sweeps_it(
    before: dict[str, set[str]], owner: subprocess.Popen[str]
) -> None:
    tag, pid = (owner.stdout.readline() if owner.stdout else "").split()
    init = Process.find(int(pid))
    assert init is not None
    processes = processes_of(tag, init)
    owner.kill()  # SIGKILL: it can do nothing any more
    owner.wait()
    assert wait_gone(processes) == set()  # at once, before anyone sweeps
    name = f"orphan-{os.getpid()}"
    assert (labs_dir() / name).exists()
    said: list[str] = []
    with Lab(f"s-{os.getpid()}", say=said.append):
        assert f"lab {name}: its owner is dead; removing what is left" in said
        assert not any(tag in line or name in line for lines in left_over(before, tag).values() for line in lines)
    assert left_over(before, tag) == {}


def test_a_kept_lab_outlives_its_maker(before: dict[str, set[str]]) -> None:
    name = f"kept-{os.getpid()}"
    code = f'from inferfleet.lab import HostSpec, Lab; Lab({name!r}, [HostSpec("gpu1")], keep=True).up()'
    subprocess.run([sys.executable, "-c", code], check=True)
    lab = attach(name)
    tag = lab.state.tag
    try:
        with Lab(f"s-{os.getpid()}"):  # a sweep does not take it
            assert lab.hosts["gpu1"].run("hostname").stdout == "gpu1\n"
    finally:
        lab.down()
    assert left_over(before, tag) == {}


HALF = textwrap.dedent("""
    import os, signal
    from inferfleet.lab import HostSpec, Lab
    lab = Lab("NAME", [HostSpec("gpu1")], keep=True)
    lab._add = lambda specs: os.kill(os.getpid(), signal.SIGKILL)
    lab.up()
""")


def test_a_lab_that_was_never_ready_is_swept(before: dict[str, set[str]]) -> None:
    name = f"half-{os.getpid()}"
    done = subprocess.run([sys.executable, "-c", HALF.replace("NAME", name)])
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(LabError, match=f"lab {name}: is not up"):
        attach(name)
    with Lab(name) as again:
        tag = again.state.tag
    assert left_over(before, tag) == {}


BUILD = """
from inferfleet.lab.base import base_root
base_root("trixie", lambda line: print(line, flush=True))
"""


def test_a_base_root_cut_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / "apt").symlink_to(apt_cache_dir())  # so that the test fetches nothing twice
    environment = {**os.environ, "INFERFLEET_CACHE": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE, text=True, env=environment) as builder:
        said = iter(builder.stdout or ())
        assert "trixie: unpacking\n" in said
        cage = [Process.find(pid) for pid in pids_naming(str(tmp_path))]
        assert len(cage) > 2  # the proxy, debootstrap and what it runs
        builder.kill()
    assert wait_gone({process for process in cage if process}) == set()
    assert [path.name for path in sorted((tmp_path / "bases").iterdir())] == [
        "trixie-1.log",
        "trixie-1.part",
        "trixie.lock",
    ]
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def pids_naming(text: str) -> list[int]:
    """Processes with `text` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found
