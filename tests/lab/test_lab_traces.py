"""Nothing of a lab is left on this machine, whatever ended it."""

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
from inferfleet.lab import HostSpec, Lab, attach, state
from inferfleet.lab.base import RECIPE
from inferfleet.lab.cgroup import Cgroup, hierarchies
from inferfleet.lab.paths import apt_cache_dir, labs_dir
from inferfleet.lab.say import quiet
from inferfleet.lab.state import Process

pytestmark = [pytest.mark.lab, pytest.mark.alone]

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
        "cgroups": {path for top in hierarchies() for path, _, _ in os.walk(top)},
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
    new["labs"] -= {lab.name for lab in state.readable(quiet) if lab.tag != tag and lab.alive()}
    return {kind: lines for kind, lines in new.items() if lines}


def processes_of(tag: str, init: Process) -> set[Process]:
    """Every process in the lab's cgroup or in one of its namespaces."""
    kinds = ("pid", "net", "mnt")
    theirs = {os.readlink(f"/proc/{init.pid}/ns/{kind}") for kind in kinds}
    found = {process for pid in Cgroup(f"inferfleet-{tag}").pids() if (process := Process.find(pid))}
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
        f"trixie-{RECIPE}.log",
        f"trixie-{RECIPE}.part",
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
