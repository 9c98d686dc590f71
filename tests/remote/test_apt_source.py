"""A signed source: its key by fingerprint, nothing left behind where it is another, versions, and apt's locks."""

import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import apt_source, apt_state
from tests.remote.conftest import Site
from tests.remote.test_openpgp import armoured, fingerprint, key

FULL = "5:28.2.2-1~debian.13~trixie"
LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 485 (apt-get)"


class Apt:
    """`apt-get`, `apt-cache` and `apt-mark` that write down what they are told and answer as a test wants."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log"
        self.answers("apt-get", "")
        self.answers("apt-mark", "")
        self.answers("dpkg", "[ $1 != --print-architecture ] || echo amd64")
        self.answers("apt-cache", f"echo ' docker-ce | {FULL} | http://x trixie/stable amd64 Packages'")

    def answers(self, program: str, script: str) -> None:
        path = self._folder / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{self._log}\n{script}\n')
        path.chmod(0o755)

    def told(self, program: str = "apt-get") -> list[str]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in lines if line.startswith(f"{program} ")]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    monkeypatch.setattr(apt_source, "LOCK_PAUSE_S", 0)
    monkeypatch.setattr(apt_state, "SOURCES", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Apt(tmp_path / "bin")


@pytest.fixture
def source(site: Site, tmp_path: Path) -> dict[str, Any]:
    site.routes["/gpg"] = armoured(key(b"x"))
    return {
        "key_url": f"{site.url}/gpg",
        "fingerprints": [fingerprint(b"x")],
        "keyring": str(tmp_path / "keyrings/docker.gpg"),
        "path": str(tmp_path / "docker.sources"),
        "text": f"Types: deb\nURIs: http://x/debian\nSuites: trixie\nSigned-By: {tmp_path}/keyrings/docker.gpg\n",
    }


def test_key_and_source(apt: Apt, source: dict[str, Any]) -> None:
    apt_source.bring_source(source)
    assert Path(source["keyring"]).read_bytes() == key(b"x")
    assert Path(source["path"]).read_text() == source["text"]
    (update,) = apt.told()
    for word in ("Error-Mode=any", f"sourcelist={source['path']}", "sourceparts=-", "List-Cleanup=0"):
        assert word in update


def test_a_right_key_is_not_fetched_again(apt: Apt, source: dict[str, Any], site: Site) -> None:
    apt_source.bring_source(source)
    site.asked.clear()
    apt_source.bring_source(source)
    assert site.asked == []


@pytest.mark.parametrize("served", [key(b"y"), key(b"x") + key(b"y")])
def test_another_key_is_refused_and_nothing_is_left(
    apt: Apt, source: dict[str, Any], site: Site, served: bytes
) -> None:
    site.routes["/gpg"] = armoured(served)
    with pytest.raises(SystemExit) as ended:
        apt_source.bring_source(source)
    (line,) = str(ended.value).splitlines()
    assert f"has fingerprint {fingerprint(b'y')}, expected is {fingerprint(b'x')}; nothing was changed" in line
    assert not Path(source["keyring"]).exists()
    assert not Path(source["path"]).exists()
    assert apt.told() == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [(404, "answers 404"), (b"<html>", "cannot be used: it holds no public key"), (key(b"x")[:50], "it breaks off")],
)
def test_no_key(apt: Apt, source: dict[str, Any], site: Site, answer: Any, words: str) -> None:
    site.routes["/gpg"] = answer
    with pytest.raises(SystemExit, match=words):
        apt_source.bring_source(source)


def test_a_declared_proxy_fetches_the_key(
    apt: Apt, source: dict[str, Any], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(urllib.request, "_opener", None)
    source["key_url"] = "http://download.example/gpg"
    site.routes["http://download.example/gpg"] = armoured(key(b"x"))
    apt_source.bring_source(source)
    assert site.paths() == ["GET http://download.example/gpg"]


@pytest.mark.parametrize("before", [None, "Types: deb\nURIs: http://old\n"])
def test_lists_that_cannot_be_read_leave_all_as_it_was(apt: Apt, source: dict[str, Any], before: str | None) -> None:
    apt.answers("apt-get", "echo 'W: x'; echo 'E: The repository is not signed.'; exit 100")
    if before:
        Path(source["path"]).write_text(before)
    with pytest.raises(SystemExit, match="E: The repository is not signed"):
        apt_source.bring_source(source)
    assert apt_state.text_of(source["path"]) == before
    assert not Path(source["keyring"]).exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docker.list", "deb [arch=amd64 signed-by=/other.asc] http://x/debian trixie stable\n"),
        ("docker.list", "deb http://x/debian/ trixie stable\n"),
        ("a.sources", "Types: deb\nURIs: http://y http://x/debian/\nSuites: trixie\nSigned-By: /other.asc\n"),
    ],
)
def test_a_source_with_another_key_conflicts(
    apt: Apt, source: dict[str, Any], tmp_path: Path, name: str, text: str
) -> None:
    """apt then reads no list at all; set aside under a name that it passes over, and only where told."""
    (tmp_path / name).write_text(text)
    assert apt_state.source_state(source)["conflicts"] == [str(tmp_path / name)]
    apt_source.bring_source(source)
    assert (tmp_path / name).exists()
    apt_source.bring_source(source, replace=True)
    assert (tmp_path / f"{name}.disabled").read_text() == text
    assert apt_state.source_state(source) == {"text": source["text"], "key": [fingerprint(b"x")], "conflicts": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.list", "# deb http://x/debian trixie stable\ndeb http://x/debian bookworm stable\n"),
        ("a.sources", "Types: deb\nURIs: http://x/debian\nSuites: trixie\nEnabled: no\n"),
        ("a.sources", "#URIs: http://x/debian\n#Suites: trixie\n\nTypes: deb\nURIs: http://y\nSuites: trixie\n"),
    ],
)
def test_no_conflict(apt: Apt, source: dict[str, Any], tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert apt_state.source_state(source)["conflicts"] == []


@pytest.mark.parametrize("wanted", ["28.2.2", FULL])
def test_full_version(apt: Apt, wanted: str) -> None:
    assert apt_source.full_version("docker-ce", wanted) == FULL


@pytest.mark.parametrize(
    ("full", "wanted", "same"),
    [
        ("26.1.5+dfsg1-9+b9", "26.1.5", True),
        ("1.20.1-1", "1.20.1", True),
        ("1.20.10-1", "1.20.1", False),
        ("5:29.0.0~rc.1-1~debian.13~trixie", "29.0.0", False),
        (FULL, "28.2", False),
    ],
)
def test_same_version(full: str, wanted: str, same: bool) -> None:
    assert apt_source.same_version(full, wanted) == same


def test_a_version_that_no_source_has(apt: Apt) -> None:
    with pytest.raises(SystemExit) as ended:
        apt_source.full_version("docker-ce", "1.2.3")
    assert str(ended.value) == f"no source of this host has docker-ce 1.2.3: there are {FULL}"


def test_a_pin_overrules_holds_and_order_but_takes_nothing_away(apt: Apt) -> None:
    apt_source.install({"docker-ce": FULL, "iptables": None})
    (told,) = apt.told()
    assert told.endswith(
        f"install -y --allow-change-held-packages --allow-downgrades --no-remove docker-ce={FULL} iptables"
    )


def test_a_settings_file_that_the_host_changed_stays_without_a_question(apt: Apt) -> None:
    """Nobody is there to answer: dpkg would end with "end of file on stdin at conffile prompt"."""
    apt_source.install({"docker-ce": None})
    keeps = "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
    assert [keeps in told for told in apt.told()] == [True]
    assert apt.told("dpkg") == ["dpkg --force-confdef --force-confold --configure -a"]


def test_without_a_pin_holds_are_kept(apt: Apt) -> None:
    apt_source.install({"docker-ce": None})
    assert apt.told()[0].endswith("install -y --no-remove docker-ce")


def test_what_is_replaced_goes_in_the_same_step(apt: Apt) -> None:
    apt_source.install({"docker-ce": None}, ["docker.io", "runc"])
    assert apt.told()[0].endswith("docker-ce docker.io- runc-")
    assert "--no-remove" not in apt.told()[0]


def test_lists_from_long_ago(apt: Apt, tmp_path: Path) -> None:
    apt.answers("apt-get", f'case "$*" in *update*) touch {tmp_path}/new;; *) [ -e {tmp_path}/new ];; esac')
    apt_source.install({"docker-ce": None})
    assert len(apt.told()) == 3


def test_who_holds_the_lists_is_waited_for(apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apt.answers("apt-get", f'[ $(wc -l <{tmp_path}/bin/log) -gt 3 ] || {{ echo "{LOCKED}" >&2; exit 100; }}')
    assert apt_source.update() == ""
    assert (len(apt.told()), capsys.readouterr().out) == (4, "waiting for another apt on this host\n")


def test_but_not_for_ever(apt: Apt) -> None:
    apt.answers("apt-get", f'echo "{LOCKED}" >&2; exit 100')
    assert apt_source.update() == LOCKED
    assert len(apt.told()) == apt_source.LOCK_TRIES


def test_hold(apt: Apt) -> None:
    apt_source.hold(["docker-ce", "docker-ce-cli"])
    assert apt.told("apt-mark") == ["apt-mark hold docker-ce docker-ce-cli"]
    apt.answers("apt-mark", "echo 'E: no'; exit 100")
    with pytest.raises(SystemExit, match="apt-mark hold: E: no"):
        apt_source.hold(["docker-ce"])


def test_state(apt: Apt, tmp_path: Path) -> None:
    rows = r"docker-ce\t5:28\thold\tinstalled\nrunc\t1.1\tinstall\tinstalled\nx\t1\tdeinstall\tconfig-files\n"
    apt.answers("dpkg-query", f"printf '{rows}'; exit 1")
    assert apt_state.apt_state(None, ["docker-ce", "runc", "x"]) == {
        "installed": {"docker-ce": "5:28", "runc": "1.1"},
        "held": ["docker-ce"],
        "source": None,
    }
