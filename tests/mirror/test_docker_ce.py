"""Docker's packages, made of stand-ins for Debian's; tests/lab/test_repositories.py runs the real ones."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab.mirror import docker_ce
from inferfleet.lab.mirror.deb import build_deb, control_paragraphs, extract, write
from inferfleet.lab.mirror.docker_ce import docker_debs
from inferfleet.lab.mirror.repositories import missing_packages
from inferfleet.lab.paths import cache_dir

pytestmark = pytest.mark.skipif(bool(missing_packages()), reason=f"needs {' '.join(missing_packages())}")

UNITS = "usr/lib/systemd/system"
PLUGINS = "usr/libexec/docker/cli-plugins"
SERVICE = """\
[Service]
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS
Restart=always
"""
# Debian's package -> its version, its programs and its other files.
DEBIAN: dict[str, tuple[str, list[str], list[str]]] = {
    "docker.io": (
        "27.5.1+dfsg1-9+deb13u1+b1",
        ["usr/sbin/dockerd", "usr/sbin/docker-proxy"],
        [f"{UNITS}/docker.service", f"{UNITS}/docker.socket"],
    ),
    "docker-cli": ("27.5.1+dfsg1-9", ["usr/bin/docker"], []),
    "containerd": (
        "1:1.7.24~ds1-6",
        ["usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/bin/containerd-stress"],
        [f"{UNITS}/containerd.service"],
    ),
    "docker-buildx": ("0.13.1+ds1-3", [f"{PLUGINS}/docker-buildx"], []),
    "docker-compose": ("2.26.1-4", [f"{PLUGINS}/docker-compose", "usr/bin/docker-compose"], []),
    "tini": ("0.19.0-3+b8", ["usr/bin/tini-static"], []),
    "runc": ("1.1.15+ds1-2", ["usr/sbin/runc"], []),
}


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Suite -> the packages that were made for it, by name and revision."""
    cache = tmp_path_factory.mktemp("cache")
    asked: list[tuple[str, Sequence[str]]] = []

    def fetch(suite: str, packages: Sequence[str], cache: Path, say: object) -> dict[str, Path]:
        asked.append((suite, packages))
        return {name: stand_in(cache / "debian" / suite, suite, name) for name in packages}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docker_ce, "fetch_debs", fetch)
        made = {suite: docker_debs(suite, cache, lambda _: None) for suite in ("trixie", "bookworm")}
        assert {suite for suite, packages in asked if "runc" not in packages} == {"trixie"}
        assert ("bookworm", ("runc",)) in asked
        calls = len(asked)
        docker_debs("trixie", cache, pytest.fail)
        assert len(asked) == calls
    return {suite: {deb.name.rpartition("~debian")[0]: deb for deb in paths} for suite, paths in made.items()}


def stand_in(into: Path, suite: str, name: str) -> Path:
    version, programs, files = DEBIAN[name]
    tree = into / name
    for path in programs:
        write(f"{suite} {path}\n", tree, path, run=True)
    for path in files:
        write(SERVICE if path.endswith("docker.service") else "[Unit]\n", tree, path)
    return build_deb(tree, {"Package": name, "Version": version, "Description": name}, into)


def fields(deb: Path) -> dict[str, str]:
    told = subprocess.run(["dpkg-deb", "--field", deb], capture_output=True, text=True, check=True, timeout=30).stdout
    return control_paragraphs(told)[0]


@pytest.mark.parametrize(("suite", "number"), [("trixie", 13), ("bookworm", 12)])
def test_names_and_versions_are_dockers(debs: dict[str, dict[str, Path]], suite: str, number: int) -> None:
    versions = sorted((found["Package"], found["Version"]) for found in map(fields, debs[suite].values()))
    end = f"~debian.{number}~{suite}"
    assert versions == [
        ("containerd.io", f"1.7.24-1{end}"),
        ("docker-buildx-plugin", f"0.13.1-1{end}"),
        ("docker-ce", f"5:27.5.1-1{end}"),
        ("docker-ce", f"5:27.5.1-2{end}"),
        ("docker-ce-cli", f"5:27.5.1-1{end}"),
        ("docker-ce-cli", f"5:27.5.1-2{end}"),
        ("docker-compose-plugin", f"2.26.1-1{end}"),
    ]


def test_the_engine(debs: dict[str, dict[str, Path]], tmp_path: Path) -> None:
    deb = debs["trixie"]["docker-ce_27.5.1-1"]
    tree = extract(deb, tmp_path / "tree")
    for program in ("dockerd", "docker-proxy", "docker-init"):
        assert (tree / "usr" / "bin" / program).stat().st_mode & 0o777 == 0o755
    service = (tree / UNITS / "docker.service").read_text()
    assert service == "[Service]\nExecStart=/usr/bin/dockerd -H fd://\nRestart=always\n"
    assert (tree / UNITS / "docker.socket").exists()
    found = fields(deb)
    assert "docker.io" in found["Conflicts"]
    assert {"containerd.io (>= 1.6.24)", "docker-ce-cli", "iptables"} <= set(found["Depends"].split(", "))
    told = subprocess.run(
        ["dpkg-deb", "--info", deb, "postinst"], capture_output=True, text=True, check=True, timeout=9
    )
    assert "groupadd --system docker" in told.stdout
    assert "docker.service docker.socket" in told.stdout


@pytest.mark.parametrize(("suite", "libc"), [("trixie", "2.38"), ("bookworm", "2.34")])
def test_containerd_holds_the_runc_of_its_suite(
    debs: dict[str, dict[str, Path]], tmp_path: Path, suite: str, libc: str
) -> None:
    deb = debs[suite]["containerd.io_1.7.24-1"]
    tree = extract(deb, tmp_path / "tree")
    assert (tree / "usr/bin/runc").read_text() == f"{suite} usr/sbin/runc\n"
    assert (tree / "usr/bin/containerd").read_text() == "trixie usr/bin/containerd\n"
    assert 'disabled_plugins = ["cri"]' in (tree / "etc/containerd/config.toml").read_text()
    found = fields(deb)
    assert f"libc6 (>= {libc})" in found["Depends"]
    assert found["Provides"] == found["Conflicts"] == found["Replaces"] == "containerd, runc"


def test_revisions_differ_in_their_version_only(debs: dict[str, dict[str, Path]]) -> None:
    one, two = (fields(debs["trixie"][f"docker-ce_27.5.1-{revision}"]) for revision in (1, 2))
    assert {name for name in one if one[name] != two.get(name)} == {"Version"}


def test_another_suite(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no packages for this suite .got 'noble'.; use trixie or bookworm"):
        docker_debs("noble", tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_debian_moved_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEBIAN, "tini", ("0.19.0-3", ["usr/bin/tini"], []))
    monkeypatch.setattr(
        docker_ce,
        "fetch_debs",
        lambda suite, packages, cache, say: {name: stand_in(tmp_path / suite, suite, name) for name in packages},
    )
    with pytest.raises(LabError, match=r"docker-init: .* .got no tini-static."):
        docker_debs("trixie", tmp_path, lambda _: None)
    assert list((tmp_path / "docker").glob("[!.]*")) == []


PREPARE = """
import sys
from pathlib import Path
from inferfleet.lab.mirror.repositories import prepare_repositories
cache = Path(sys.argv[1])
prepare_repositories(cache / "mirror", cache, lambda line: None, ["trixie"], [])
"""


@pytest.mark.lab
def test_killed_makers_leave_nothing_half_done(short_path: Path) -> None:
    tmp_path = short_path
    docker_debs("trixie", cache_dir(), print)  # so that what Debian has is in the cache
    (tmp_path / "debian").mkdir()
    for kept in (cache_dir() / "debian").glob("trixie-*"):
        (tmp_path / "debian" / kept.name).symlink_to(kept)
    repository = tmp_path / "mirror" / "linux" / "debian" / "dists" / "trixie"
    for seconds in (0.7, 2.5):
        maker = subprocess.Popen([sys.executable, "-c", PREPARE, str(tmp_path)])
        time.sleep(seconds)
        maker.send_signal(signal.SIGKILL)
        maker.wait(10)
        assert quiet(tmp_path, 15)  # what it had started has noticed
        if repository.exists():
            check(repository)
    makers = [subprocess.Popen([sys.executable, "-c", PREPARE, str(tmp_path)]) for _ in range(2)]
    assert [maker.wait(120) for maker in makers] == [0, 0]
    check(repository)
    assert [str(path) for path in tmp_path.rglob(".*part-*") if path.is_dir()] == []


def quiet(directory: Path, seconds: float) -> bool:
    """No process works in the directory any more."""
    end = time.monotonic() + seconds
    while busy(directory) and time.monotonic() < end:
        time.sleep(0.05)
    return not busy(directory)


def busy(directory: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where, words = os.readlink(process / "cwd"), (process / "cmdline").read_text()
        except OSError:
            continue
        if where.startswith(str(directory)) or str(directory) in words:
            return True
    return False


def check(suite: Path) -> None:
    """Every index and package has the sum that is signed for it."""
    key = suite.parents[4] / "gpg" / "lab" / "public.gpg"
    subprocess.run(["gpgv", "--quiet", "--keyring", key, suite / "InRelease"], check=True, timeout=30)
    sums = (suite / "Release").read_text().partition("SHA256:\n")[2].partition("SHA512:")[0]
    signed = {name: digest for digest, _, name in (line.split() for line in sums.splitlines())}
    index = suite / "stable" / "binary-amd64" / "Packages"
    assert signed["stable/binary-amd64/Packages"] == digest_of(index)
    packages = control_paragraphs(index.read_text())
    assert len(packages) == 7
    for package in packages:
        assert digest_of(suite.parents[1] / package["Filename"]) == package["SHA256"]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
