"""Packages, keys and repositories, judged by the real dpkg-deb, gpgv and apt, which knows nothing else."""

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import system
from inferfleet.lab.mirror import machine, repositories
from inferfleet.lab.mirror.apt_repository import Vendor, flat_repository, suite_repository
from inferfleet.lab.mirror.deb import build_deb, control_paragraphs, debhelper, repack, version_of, write
from inferfleet.lab.mirror.debian import _CONFIG
from inferfleet.lab.mirror.repositories import missing_packages, prepare_drivers, prepare_repositories
from inferfleet.lab.mirror.signing import STRANGER, SigningKey, signing_key

pytestmark = pytest.mark.skipif(bool(missing_packages()), reason=f"needs {' '.join(missing_packages())}")

VENDOR = Vendor("Somebody", "Something")
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c")


@pytest.fixture(scope="module")
def key(cache: Path) -> SigningKey:
    return signing_key(cache, lambda _: None)


@pytest.fixture(scope="module")
def stranger(cache: Path) -> SigningKey:
    return signing_key(cache, lambda _: None, STRANGER)


def package(into: Path, version: str = "5:1.2-3", name: str = "tool", text: str = "1", **more: str) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    tree = into / f"tree-{name}"
    write(f"#!/bin/sh\necho {text}\n", tree, "usr/bin/tool", run=True)
    write("setting\n", tree, "etc/tool.conf")
    fields = {"Package": name, "Version": version, "Description": "a tool\nof the lab\n\nwith more", **more}
    return build_deb(tree, fields, into, debhelper({}, ["tool.service"]), ["/etc/tool.conf"])


def say(deb: Path, *words: str) -> str:
    return subprocess.run(["dpkg-deb", *words, deb], check=True, capture_output=True, text=True, timeout=30).stdout


def test_a_package(tmp_path: Path) -> None:
    deb = package(tmp_path, Depends="libc6")
    assert deb.name == "tool_1.2-3_amd64.deb"
    assert version_of(deb) == "5:1.2-3"
    (fields,) = control_paragraphs(say(deb, "--field"))
    assert fields["Depends"] == "libc6"
    assert fields["Description"] == "a tool\nof the lab\n\nwith more"
    listed = {words[-1]: words[:2] for line in say(deb, "--contents").splitlines() if (words := line.split())}
    assert listed["./usr/bin/tool"] == ["-rwxr-xr-x", "root/root"]
    assert listed["./etc/tool.conf"] == ["-rw-r--r--", "root/root"]
    assert (
        "/etc/tool.conf"
        in subprocess.run(
            ["dpkg-deb", "--info", deb, "conffiles"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    )


def test_the_same_files_give_the_same_package(tmp_path: Path) -> None:
    one = package(tmp_path / "one").read_bytes()
    os.utime(tmp_path / "one", (1, 1))
    old_mask = os.umask(0o077)
    try:
        other = package(tmp_path / "other").read_bytes()
    finally:
        os.umask(old_mask)
    assert one == other
    assert package(tmp_path / "third", text="2").read_bytes() != one


def test_repack_changes_fields_and_nothing_else(tmp_path: Path) -> None:
    deb = package(tmp_path, Depends="libc6", Recommends="git")
    (tmp_path / "new").mkdir()
    new = repack(deb, {"Version": "5:1.2-4", "Recommends": None, "Conflicts": "other"}, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["tool_1.2-4_amd64.deb"]
    before, after = (control_paragraphs(say(path, "--field"))[0] for path in (deb, new))
    assert after == {
        **{k: v for k, v in before.items() if k != "Recommends"},
        "Version": "5:1.2-4",
        "Conflicts": "other",
    }
    assert say(new, "--contents") == say(deb, "--contents")
    for part in ("postinst", "prerm", "postrm", "conffiles"):
        told = [
            subprocess.run(["dpkg-deb", "--info", path, part], capture_output=True, check=True, timeout=30).stdout
            for path in (deb, new)
        ]
        assert told[0] == told[1]


def test_what_dpkg_refuses_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"tool_1 2_amd64.deb: dpkg-deb failed .got exit 2: .*embedded spaces"):
        package(tmp_path, version="1 2")


def test_control_files_with_several_paragraphs() -> None:
    text = "Source: a\n\nPackage: b\nDepends: c,\n d\nDescription: e\n f\n .\n g\n"
    assert control_paragraphs(text) == [
        {"Source": "a"},
        {"Package": "b", "Depends": "c,\nd", "Description": "e\nf\n\ng"},
    ]
    with pytest.raises(LabError, match=r"not a field .got 'nonsense'."):
        control_paragraphs("Package: a\nnonsense")


def test_debhelper_completes_scripts() -> None:
    mine = "#!/bin/sh\nbefore\n#DEBHELPER#\nafter\n"
    scripts = debhelper({"postinst": mine}, ["a.path", "a.service"], ["rm_conffile /etc/x 1~ a"])
    assert set(scripts) == {"preinst", "postinst", "prerm", "postrm"}
    lines = scripts["postinst"].splitlines()
    assert lines[:3] == ["#!/bin/sh", "before", 'dpkg-maintscript-helper rm_conffile /etc/x 1~ a -- "$@"']
    assert lines[-1] == "after"
    assert "deb-systemd-invoke stop a.path a.service" in scripts["prerm"]
    for text in scripts.values():
        subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=10)
    assert debhelper({"postinst": mine}) == {"postinst": "#!/bin/sh\nbefore\nafter\n"}


def agents(home: Path) -> list[int]:
    """Processes that have this directory of gpg's on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(home).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(home: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while agents(home) and time.monotonic() < end:
        time.sleep(0.05)
    return not agents(home)


def test_a_key_is_made_once_and_leaves_no_agent(cache: Path, key: SigningKey, stranger: SigningKey) -> None:
    told: list[str] = []
    assert signing_key(cache, told.append) == key
    assert told == []
    assert stranger.fingerprint != key.fingerprint
    shown = system.run(["gpg", "--show-keys", "--with-colons", key.home / "public.asc"]).stdout
    assert [line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:")] == [key.fingerprint]
    assert key.home.stat().st_mode & 0o77 == 0
    assert gone(cache / "gpg", 2)


def test_a_killed_maker_leaves_no_agent_and_no_key(short_path: Path) -> None:
    tmp_path = short_path
    maker = FORK.Process(target=signing_key, args=(tmp_path, lambda _: None))
    maker.start()
    end = time.monotonic() + 10
    while not agents(tmp_path / "gpg") and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(maker.pid or 0, signal.SIGKILL)
    maker.join(10)
    assert not (tmp_path / "gpg" / "lab").exists()
    assert gone(tmp_path / "gpg", 15)  # an agent looks every few seconds whether its program is still there
    assert signing_key(tmp_path, lambda _: None).fingerprint


def test_a_path_too_long_for_the_agent(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"too long a path for gpg-agent .*; set INFERFLEET_CACHE to a shorter path"):
        signing_key(tmp_path / ("x" * 100), lambda _: None)


class Apt:
    """apt with one source, as on a host that trusts one key."""

    def __init__(self, work: Path, key: SigningKey, source: str) -> None:
        self.work = work
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (work / directory).mkdir(parents=True)
        (work / "status").touch()
        (work / "key.asc").write_text(key.armored)
        (work / "sources.list").write_text(f"deb [signed-by={work}/key.asc] {source}\n")
        (work / "apt.conf").write_text(_CONFIG.format(work=work))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        env = system.environment(APT_CONFIG=str(self.work / "apt.conf"))
        return subprocess.run(words, env=env, cwd=self.work, capture_output=True, text=True, timeout=60)

    def update(self) -> "subprocess.CompletedProcess[str]":
        return self.run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")

    def versions(self, name: str) -> list[str]:
        lines = self.run("apt-cache", "madison", name).stdout.splitlines()
        return [line.split("|")[1].strip() for line in lines]


def test_apt_takes_a_flat_repository(tmp_path: Path, key: SigningKey) -> None:
    debs = [package(tmp_path / version, version=version) for version in ("1-1", "1-2")]
    target = flat_repository(tmp_path / "flat", debs, key, VENDOR)
    apt = Apt(tmp_path / "apt", key, f"file:{target} /")
    assert apt.update().returncode == 0
    assert apt.versions("tool") == ["1-2", "1-1"]
    assert apt.run("apt-get", "download", "tool=1-1").returncode == 0
    policy = apt.run("apt-cache", "policy").stdout
    assert "o=Somebody" in policy
    assert "l=Something" in policy


def test_apt_takes_a_suite(tmp_path: Path, key: SigningKey) -> None:
    root = tmp_path / "debian"
    for suite in ("trixie", "bookworm"):
        suite_repository(root, suite, "stable", [package(tmp_path / suite, version=f"5:1-1~{suite}")], key, VENDOR)
    apt = Apt(tmp_path / "apt", key, f"file:{root} trixie stable")
    assert apt.update().returncode == 0
    assert apt.versions("tool") == ["5:1-1~trixie"]
    got = apt.run("apt-get", "download", "--print-uris", "tool").stdout
    assert "/debian/dists/trixie/pool/stable/amd64/tool_1-1~trixie_amd64.deb" in unquote(got)


def test_apt_takes_a_repository_of_drivers(tmp_path: Path, key: SigningKey) -> None:
    target = prepare_drivers(tmp_path, key, [package(tmp_path / "one")], "trixie")
    assert target == tmp_path / "compute/cuda/repos/debian13/x86_64"
    assert (target / f"{key.fingerprint[-8:]}.pub").read_text() == key.armored
    assert Apt(tmp_path / "apt", key, f"file:{target} /").update().returncode == 0
    (target / "cuda-archive-keyring.gpg").rename(tmp_path / "apt" / "key.asc.gpg")
    system.run(["gpgv", "--keyring", tmp_path / "apt" / "key.asc.gpg", target / "Release.gpg", target / "Release"])


def test_apt_refuses_a_strangers_repository(tmp_path: Path, key: SigningKey, stranger: SigningKey) -> None:
    target = flat_repository(tmp_path / "flat", [package(tmp_path / "one")], stranger, VENDOR)
    done = Apt(tmp_path / "apt", key, f"file:{target} /").update()
    assert done.returncode == 100
    assert "is not signed" in done.stderr
    assert Apt(tmp_path / "other", stranger, f"file:{target} /").update().returncode == 0


def spoil_index(target: Path) -> None:
    (target / "Packages.gz").unlink()
    (target / "Packages").write_text((target / "Packages").read_text().replace("1.2-3", "1.2-4"))


def spoil_package(target: Path) -> None:
    deb = next(target.glob("*.deb"))
    content = deb.read_bytes()
    deb.unlink()  # its other name is another file then
    deb.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("spoil", [spoil_index, spoil_package])
def test_apt_refuses_what_was_changed_after_signing(
    tmp_path: Path, key: SigningKey, spoil: Callable[[Path], None]
) -> None:
    target = flat_repository(tmp_path / "flat", [package(tmp_path / "one")], key, VENDOR)
    spoil(target)
    apt = Apt(tmp_path / "apt", key, f"file:{target} /")
    assert (apt.update().returncode, apt.run("apt-get", "download", "tool").returncode) != (0, 0)


def test_a_repository_is_made_anew_only_when_its_packages_differ(tmp_path: Path, key: SigningKey) -> None:
    one, two = (package(tmp_path / version, version=version) for version in ("1-1", "1-2"))
    target = flat_repository(tmp_path / "flat", [one], key, VENDOR)
    before = target.stat().st_ino
    assert flat_repository(tmp_path / "flat", [one], key, VENDOR).stat().st_ino == before
    assert flat_repository(tmp_path / "flat", [one, two], key, VENDOR).stat().st_ino != before
    assert [path for path in tmp_path.glob(".flat.part-*") if path.is_dir()] == []


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {"apt-utils", "gnupg", "gpg-agent", "gcc", "apt", "dpkg"} <= set(repositories.missing_packages())
    with pytest.raises(LabError, match=r"apt repositories: packages are missing .got none of apt-utils, gnupg"):
        prepare_repositories(tmp_path / "mirror", tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    with pytest.raises(LabError, match=r"amd64 only .got a aarch64 machine."):
        prepare_repositories(tmp_path / "mirror", tmp_path, lambda _: None)
