"""A machine that cannot run the demo is told so in one line, before anything is written."""

from pathlib import Path

import pytest

from tests.demo.machine import Machine

ORDINARY = 'if [ "$1" = -un ]; then echo ann; else echo 1000; fi'
PLENTY = "echo header; echo disk 9 9 99999999 9% /"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path).double("df", PLENTY)


@pytest.mark.parametrize("script", ["./demo", "./test"])
def test_other_system(machine: Machine, script: str) -> None:
    line = machine.double("uname", "echo Darwin").refusal(script)
    assert line == f"{script}: needs Linux (got Darwin); use a Debian or Ubuntu machine, real or virtual"


def test_no_apt(machine: Machine) -> None:
    line = machine.without("apt-get").refusal("./demo")
    assert line == "./demo: needs apt (got no apt-get); use a Debian or Ubuntu machine"


def test_no_place_for_a_cache(machine: Machine) -> None:
    del machine.env["HOME"]
    line = machine.refusal("./demo")
    assert line == "./demo: has no place for its cache (got no HOME); set INFERFLEET_CACHE to a directory"


def test_full_disk(machine: Machine) -> None:
    line = machine.double("df", "echo header; echo disk 9 9 2097152 99% /").refusal("./demo")
    cache = f"{machine.home}/.cache/inferfleet"
    assert line == (
        f"./demo: needs 6 GiB in {cache} (got 2048 MiB free); make room or set INFERFLEET_CACHE to a larger disk"
    )


def test_ordinary_user_without_sudo(machine: Machine) -> None:
    line = machine.double("id", ORDINARY).refusal("./test")
    assert line == (
        "./test: needs root for: apt packages, network namespaces, mounts (got user ann, no sudo); run it as root"
    )


def test_sudo_wants_a_password_and_nobody_is_there(machine: Machine) -> None:
    line = machine.double("id", ORDINARY).double("sudo", "exit 1").refusal("./demo")
    assert line.endswith("(got user ann, no terminal for sudo's password); run it as root")


def test_sudo_is_asked_once_and_sees_names_not_values(machine: Machine) -> None:
    machine.double("id", ORDINARY).double("sudo", '[ "$1" = -n ] || echo "SUDO $*"')
    machine.env |= {"https_proxy": "http://ann:secret@proxy", "LD_PRELOAD": "", "PYTHONPATH": "elsewhere"}
    done = machine.run("./demo", "--keep")
    assert done.returncode == 0
    assert done.stdout.count("SUDO") == 1
    assert "secret" not in done.stdout
    names = done.stdout.split("--preserve-env=")[1].split()[0].split(",")
    assert {"https_proxy", "INFERFLEET_CACHE", "INFERFLEET_USER", "INFERFLEET_USER_PATH"} <= set(names)
    assert not {"PATH", "HOME", "LD_PRELOAD", "PYTHONPATH"} & set(names)
    assert done.stdout.rstrip().endswith("./demo --keep")


def test_python_too_old(machine: Machine) -> None:
    done = machine.run("-c", "MIN_PYTHON=99.1; bootstrap tiny")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs Python 99.1 or newer (got Python 3." in done.stderr
    assert "put one on PATH" in done.stderr


def test_cache_of_somebody_else(machine: Machine) -> None:
    machine.env["INFERFLEET_CACHE"] = "/proc/inferfleet"
    line = machine.refusal("-c", "bootstrap tiny")
    assert line.startswith("try: may not write to /proc/inferfleet (got user ")
    assert line.endswith("; set INFERFLEET_CACHE to a directory of yours")


def test_help_needs_nothing(machine: Machine) -> None:
    done = machine.double("id", ORDINARY).run("./demo", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("./demo [--keep]: two bare hosts")
