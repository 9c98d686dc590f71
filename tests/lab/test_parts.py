"""The parts of the lab that need no root: layouts, states, messages."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from inferfleet.errors import LabError
from inferfleet.lab import HostSpec, lab, network, preflight, register, state
from inferfleet.lab.base import base_root
from inferfleet.lab.cgroup import Cgroup, hierarchies
from inferfleet.lab.cli import host_spec
from inferfleet.lab.cli import lab as command
from inferfleet.lab.paths import cache_dir
from inferfleet.lab.state import LabState, Process

# --- cgroup ------------------------------------------------------------------------------------

LAYOUTS = {
    "unified": (["cgroup.controllers", "cgroup.procs"], ["."]),
    "hybrid": (["unified/cgroup.controllers", "systemd/cgroup.procs", "memory/cgroup.procs"], ["unified", "systemd"]),
    "legacy": (["systemd/cgroup.procs", "memory/cgroup.procs"], ["systemd"]),
}


def tree(root: Path, files: list[str]) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cgroup_is_made_where_the_layout_wants_it(layout: str, tmp_path: Path) -> None:
    files, tops = LAYOUTS[layout]
    root = tree(tmp_path, files)
    assert hierarchies(root) == tuple(root / top for top in tops)
    cgroup = Cgroup("inferfleet-1-ab", root).child("host-gpu1")
    cgroup.create()
    assert [path for top in tops if not (path := root / top / "inferfleet-1-ab/host-gpu1").is_dir()] == []
    assert not (root / "memory/inferfleet-1-ab").exists()
    cgroup.remove()
    assert not any(directory.exists() for directory in cgroup.dirs)


def test_no_cgroup_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        LabError, match="neither cgroup2 nor the systemd hierarchy is mounted here; mount cgroup2 on it"
    ):
        hierarchies(tmp_path)


def test_entering_writes_into_every_hierarchy_before_the_program_starts(tmp_path: Path) -> None:
    cgroup = Cgroup("a", tree(tmp_path, LAYOUTS["hybrid"][0]))
    cgroup.create()
    done = subprocess.run(cgroup.enter(["cat", *(d / "cgroup.procs" for d in cgroup.dirs)]), capture_output=True)
    assert done.stdout == b"0\n0\n"


def test_a_program_is_not_started_outside_its_cgroup(tmp_path: Path) -> None:
    cgroup = Cgroup("missing", tree(tmp_path, LAYOUTS["hybrid"][0]))
    with pytest.raises(LabError, match=r"touch: could not be started \(exit status 125\)"):
        cgroup.spawn(["touch", tmp_path / "ran"], tmp_path / "log")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("layout", ["legacy", "unified"])
def test_without_cgroup_kill_each_process_is_killed(layout: str, tmp_path: Path) -> None:
    cgroup = Cgroup("a", tree(tmp_path, LAYOUTS[layout][0]))
    cgroup.create()
    procs = cgroup.dirs[0] / "cgroup.procs"
    with subprocess.Popen(["sleep", "60"]) as victim:
        procs.write_text(f"{victim.pid}\n")
        threading.Timer(0.1, procs.write_text, [""]).start()  # what the kernel does when it has died
        cgroup.kill()
        assert victim.wait(5) == -9


# --- state -------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERFLEET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def dead() -> Process:
    with subprocess.Popen(["sleep", "60"]) as process:
        found = Process.find(process.pid)
        process.kill()
    assert found is not None
    return found


ALIVE = [  # bound, ready, creator lives, init lives (None: not there yet) -> phase
    (True, True, True, True, "up"),
    (True, True, False, True, "dead"),
    (True, True, True, False, "dead"),
    (False, True, False, True, "up"),
    (False, True, False, False, "dead"),
    (False, False, True, None, "starting"),
    (False, False, False, True, "dead"),
    (True, False, True, True, "starting"),
]


@pytest.mark.parametrize(("bound", "ready", "creator", "init", "phase"), ALIVE)
def test_whom_a_lab_lives_by(
    bound: bool, ready: bool, creator: bool, init: bool | None, phase: str, cache: Path
) -> None:
    def process(lives: bool) -> Process:
        return Process.own() if lives else dead()

    one = LabState("a", "1-ab", 1, process(creator), bound, ready, None if init is None else process(init))
    assert one.phase() == phase


def test_a_pid_used_again_is_another_process() -> None:
    own = Process.own()
    assert own.alive()
    assert not Process(own.pid, own.start + 1).alive()


def test_a_state_is_read_back(cache: Path) -> None:
    one = LabState("a", "7-ab12", 7, Process.own(), False, True, Process.own(), [HostSpec("gpu1", "bookworm")])
    one.directory.mkdir(parents=True)
    one.save()
    assert state.load("a") == one
    assert state.load("b") is None


def test_the_lab_of_another_version_is_left_alone(cache: Path) -> None:
    (cache / "labs/a").mkdir(parents=True)
    (cache / "labs/a/lab.json").write_text(json.dumps({"name": "a"}))
    said: list[str] = []
    register.sweep(said.append)
    assert (cache / "labs/a/lab.json").exists()
    assert said == [
        f"{cache}/labs/a/lab.json: cannot be read ('creator'); use the inferfleet version that made this lab"
    ]


# --- network, names, messages ------------------------------------------------------------------


def test_a_network_with_a_route_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [{"dst": dst} for dst in ("default", "10.77.2.0/24", "10.77.4.0/22", "fe80::/64", "10.0.0.0/8")]
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(routes))
    monkeypatch.setattr(network, "run", lambda argv: done)
    assert network.free_net(set()) == 1
    assert network.free_net({1}) == 3
    assert network.free_net({1, 3}) == 8
    with pytest.raises(LabError, match=r"network: no free /24 in 10\.77\.0\.0/16; inferfleet lab down --all"):
        network.free_net(set(range(255)))


def test_interface_names_fit() -> None:
    assert len(network.link_name("254-abcd")) <= 15


@pytest.mark.parametrize(
    ("name", "hosts", "message"),
    [
        ("Lab", [], "lab: not a name (got 'Lab'); use lower case letters, digits and hyphens"),
        (
            "lab",
            [HostSpec("a-name-that-is-long")],
            "host: not a name (got 'a-name-that-is-long'); use up to 12 lower case letters, digits, hyphens",
        ),
        ("lab", [HostSpec("a"), HostSpec("a")], "host a: there twice; give every host a name of its own"),
    ],
)
def test_bad_names(name: str, hosts: list[HostSpec], message: str, cache: Path) -> None:
    with pytest.raises(LabError) as caught:
        lab.Lab(name, hosts).up()
    assert str(caught.value) == message


def test_an_unknown_suite(cache: Path) -> None:
    with pytest.raises(LabError, match=r"suite: not one the lab can make \(got 'sarge'\); use trixie or bookworm"):
        base_root("sarge")


def test_preflight_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = []

    def refused() -> None:
        with pytest.raises(LabError) as caught:
            preflight.check(["trixie"])
        messages.append(str(caught.value))

    disk = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk._replace(free=int(1.5 * preflight.GIB)))
    monkeypatch.setattr(preflight, "APT_HELPER", "/")
    monkeypatch.setattr(preflight, "PROGRAMS", {"sh": "dash", "no-such-program": "b-package", "/no/file": "a-package"})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    refused()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    refused()
    monkeypatch.setattr(preflight, "PROGRAMS", {})
    refused()
    monkeypatch.setenv("INFERFLEET_CACHE", "/tmp/with blank")
    refused()
    monkeypatch.setattr("sys.platform", "darwin")
    refused()
    assert messages == [
        "user: not root (got uid 1000); run it with sudo; the lab needs root for mounts and network namespaces",
        "programs: missing (got none of a-package, b-package); apt-get install a-package b-package",
        f"{cache}: too little disk (got 1.5 GiB free, need 4 GiB); "
        "make room or set INFERFLEET_CACHE to a directory elsewhere",
        "/tmp/with blank: no blank, comma, colon or backslash may be in it; set INFERFLEET_CACHE",
        "platform: the lab runs on Linux only (got darwin); use a Debian or Ubuntu machine",
    ]


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INFERFLEET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/x")
    assert cache_dir() == Path("/home/x/.cache/inferfleet")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/c")
    assert cache_dir() == Path("/var/c/inferfleet")
    monkeypatch.setenv("INFERFLEET_CACHE", "/srv/fleet")
    assert cache_dir() == Path("/srv/fleet")


def test_hosts_on_the_command_line() -> None:
    assert host_spec("gpu1") == HostSpec("gpu1", "trixie")
    assert host_spec("cpu1:bookworm") == HostSpec("cpu1", "bookworm")


def test_exec_without_a_lab_says_how_to_start_one(cache: Path) -> None:
    result = CliRunner().invoke(command, ["exec", "--lab", "none", "gpu1", "--", "true"])
    assert str(result.exception) == "lab none: is not up; start it with: sudo inferfleet lab up none"
