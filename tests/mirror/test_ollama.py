"""What is refused, what is missing, and what a killed build leaves."""

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab.mirror import debian, go
from inferfleet.lab.mirror.forky import SUITE, fetch_packages
from inferfleet.lab.mirror.ollama import SUMS, TARBALL, build_ollama, missing_packages
from inferfleet.lab.mirror.pack import MTIME, pack
from inferfleet.lab.paths import cache_dir


def unheard(line: str) -> None:
    raise AssertionError(line)


def program(directory: Path, name: str, body: str) -> Path:
    path = directory / name
    directory.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["", "v0.32.15", "0.32", "latest", "0.32.15; id", "../../x", "0.32.15\n"])
def test_what_is_no_version(tmp_path: Path, version: str) -> None:
    with pytest.raises(LabError, match="Ollama: not a version"):
        build_ollama(version, tmp_path, unheard)
    assert not list(tmp_path.iterdir())


def test_too_old(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot be built .*got 0\.24\.0.*take 0\.30\.0 or later"):
        build_ollama("0.24.0", tmp_path, unheard)


def test_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(LabError, match=r"amd64 only .got a aarch64 machine."):
        build_ollama("0.32.15", tmp_path, unheard)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {"gcc", "g++", "zstd", "apt", "dpkg"} <= set(missing_packages())
    with pytest.raises(LabError, match=r"packages are missing .got none of gcc, .*g\+\+, zstd"):
        build_ollama("0.32.15", tmp_path, unheard)


def test_what_is_built_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = tmp_path / "mirror" / "ollama" / "v0.32.15"
    release.mkdir(parents=True)
    (release / ".made-of.json").write_text('{"layout": 1}')
    monkeypatch.setenv("PATH", "/nowhere")
    assert build_ollama("0.32.15", tmp_path, unheard) == release


@pytest.mark.parametrize(("says", "new_enough"), [("1.26.0", True), ("1.27.3", True), ("1.25.9", False), ("2.0", True)])
def test_go_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, new_enough: bool) -> None:
    program(tmp_path, "go", f'echo "go version go{says} linux/amd64"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert go.has_go() is new_enough


def test_no_go_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert go.has_go() is False


def test_kept_packages_need_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "llama" / "debs" / "llama-1_mesa-2"
    kept.mkdir(parents=True)
    monkeypatch.setenv("PATH", "/nowhere")
    assert fetch_packages(tmp_path, unheard) == kept


def test_mirror_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERFLEET_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setattr(debian, "_network_settings", lambda: 'Acquire::Retries "0";\n')
    with pytest.raises(LabError, match=rf"Debian {SUITE}: apt-get failed .got exit 100: E: .*127\.0\.0\.1"):
        fetch_packages(tmp_path, lambda line: None)
    assert not list((tmp_path / "llama" / "debs").glob("[!.]*"))


def test_pack_is_the_same_wherever_the_files_lie(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "other"):
        tree = tmp_path / name / "tree"
        tree.mkdir(parents=True)
        (tree / "b").write_text("b")
        os.utime(program(tree, "a", "exit 0"), (1, 1))
        (tree / "b").chmod(0o600 if name == "one" else 0o664)
        pack({"bin/ollama": tree / "a", "lib/ollama": tree}, tmp_path / f"{name}.zst")
        digests.add(hashlib.sha256((tmp_path / f"{name}.zst").read_bytes()).hexdigest())
    assert len(digests) == 1
    subprocess.run(["zstd", "-qd", "one.zst", "-o", "one.tar"], cwd=tmp_path, check=True)
    with tarfile.open(tmp_path / "one.tar") as archive:
        found = {member.name: (member.mode, member.uid, member.mtime) for member in archive}
    modes = {"bin": 0o755, "bin/ollama": 0o755, "lib": 0o755, "lib/ollama": 0o755}
    modes |= {"lib/ollama/a": 0o755, "lib/ollama/b": 0o644}
    assert found == {name: (mode, 0, MTIME) for name, mode in modes.items()}


def state_of_apt() -> dict[Path, float]:
    """What apt knows and keeps on this machine, with times of change."""
    roots = [Path("/var/lib/apt"), Path("/var/cache/apt"), Path("/etc/apt"), Path("/var/lib/dpkg")]
    return {path: path.stat().st_mtime for root in roots for path in root.rglob("*")}


@pytest.mark.lab
def test_fetching_leaves_the_machines_apt_alone(tmp_path: Path) -> None:
    before = state_of_apt()
    kept = fetch_packages(tmp_path, lambda line: None)
    assert state_of_apt() == before
    subprocess.run(["sha256sum", "--quiet", "--strict", "--check", "SHA256SUMS"], cwd=kept, check=True, timeout=60)
    assert {path.name for path in kept.iterdir() if path.suffix != ".deb"} == {"SHA256SUMS"}
    assert [path.name for path in kept.parent.iterdir() if path.is_dir()] == [kept.name]


BUILD = """
import sys
from pathlib import Path
from inferfleet.lab.mirror.ollama import build_ollama
build_ollama("0.32.15", Path(sys.argv[1]), lambda line: None)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that has everything fetched and Ollama built (here a stand-in), but nothing unpacked or packed."""
    if not (kept := cache_dir() / "llama" / "debs").is_dir():
        pytest.skip("no packages in the cache yet")
    cache = tmp_path / "cache"
    shutil.copytree(fetch_packages(cache_dir(), unheard), cache / "llama" / "debs" / "set", copy_function=os.symlink)
    assert kept.is_dir()
    (cache / "ollama" / "v0.32.15").mkdir(parents=True)
    program(cache / "ollama" / "v0.32.15", "ollama", "exit 0")
    return cache


@pytest.mark.lab
def test_killed_builds_leave_nothing_half_done(cache: Path) -> None:
    release = cache / "mirror" / "ollama" / "v0.32.15"
    for seconds in (0.5, 2, 4, 1):
        builder = subprocess.Popen([sys.executable, "-c", BUILD, str(cache)])
        time.sleep(seconds)
        builder.send_signal(signal.SIGKILL)
        builder.wait(10)
        time.sleep(0.5)  # for what it had started to notice
        if release.exists():
            check(release)
    builders = [subprocess.Popen([sys.executable, "-c", BUILD, str(cache)]) for _ in range(2)]
    assert [builder.wait(120) for builder in builders] == [0, 0]
    check(release)
    left = [path for path in cache.rglob(".*part-*") if path.is_dir()]
    assert left == []


def check(release: Path) -> None:
    subprocess.run(["sha256sum", "--quiet", "--strict", "--check", SUMS], cwd=release, check=True, timeout=60)
    subprocess.run(["zstd", "--quiet", "--test", TARBALL], cwd=release, check=True, timeout=60)
