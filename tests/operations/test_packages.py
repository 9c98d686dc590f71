"""What apt is told, run by a shell against an `apt-get` that says what a test wants."""

import subprocess
from pathlib import Path

import pytest

from inferfleet.remote import shell_script

LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 485 (apt-get)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("sleep", "dpkg"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def _run(folder: Path, apt_get: str) -> subprocess.CompletedProcess[str]:
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$LC_ALL $NEEDRESTART_MODE $*" >>{folder}/told\n{apt_get}\n')
    (folder / "apt-get").chmod(0o755)
    command = ["/bin/sh", "-c", shell_script("packages"), "packages", "zstd", "a b"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": f"{folder}:/usr/bin:/bin"})


def _told(folder: Path) -> list[str]:
    lines = (folder / "told").read_text().splitlines()
    return ["update" if line.endswith(" update") else "install" for line in lines]


def test_update_then_install(folder: Path) -> None:
    done = _run(folder, "echo said a lot")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _told(folder) == ["update", "install"]
    last = (folder / "told").read_text().splitlines()[-1]
    assert last.startswith("C l ") and last.endswith(" install -y zstd a b")


def test_whoever_holds_the_lists_is_waited_for(folder: Path) -> None:
    """apt-daily of a fresh machine; `DPkg::Lock::Timeout` is not for that lock."""
    done = _run(folder, f'[ $(wc -l <{folder}/told) -gt 3 ] || {{ echo "{LOCKED}" >&2; exit 100; }}')
    assert (done.returncode, done.stderr) == (0, "")
    assert _told(folder) == ["update"] * 4 + ["install"]


def test_but_not_for_ever(folder: Path) -> None:
    done = _run(folder, f'echo "{LOCKED}" >&2; exit 100')
    assert done.returncode == 1
    assert done.stderr == f"apt-get: {LOCKED}\n"
    assert 60 <= len(_told(folder)) <= 62


def test_a_broken_list_of_somebody_else(folder: Path) -> None:
    """An expired third-party list is no reason to refuse what can be installed."""
    done = _run(folder, 'case "$*" in *update) echo "E: x expired" >&2; exit 100;; esac')
    assert (done.returncode, done.stderr) == (0, "")


def test_no_list_at_all(folder: Path) -> None:
    """Then the list is what is wrong, not a package that "does not exist"."""
    done = _run(folder, 'case "$*" in *update) echo "E: no route" >&2;; *) echo "E: no package";; esac; exit 100')
    assert (done.returncode, done.stderr) == (1, "apt-get: E: no route\n")


def test_a_package_that_does_not_exist(folder: Path) -> None:
    done = _run(folder, 'case "$*" in *install*) echo "E: no package" >&2; exit 100;; esac')
    assert (done.returncode, done.stderr) == (1, "apt-get: E: no package\n")
