"""Where packages come from: this machine's mirror, found in apt's own words, through the caching proxy."""

import functools
import http.server
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import aptcache, aptsource
from inferfleet.lab.aptsource import ARCHIVE, Mirror

USUAL = Mirror("http://usual.test/debian", "http://usual.test/debian-security")
TARGETS = {
    "debian.sources, updated": (
        "http://near.test/debian/ bookworm main Debian\n"
        "http://near.test/debian/ bookworm-updates main Debian\n"
        "http://near.test/debian-security/ bookworm-security main Debian\n",
        Mirror("http://near.test/debian", "http://near.test/debian-security"),
    ),
    "another vendor with Debian's code name first": (
        "https://vendor.test/deb/ bookworm main Vendor\nhttp://near.test/debian/ bookworm main Debian\n",
        Mirror("http://near.test/debian", USUAL.security),
    ),
    "never updated": (
        "http://near.test/debian/ bookworm main\nhttps://docker.test/linux/debian/ bookworm stable\n",
        Mirror("http://near.test/debian", USUAL.security),
    ),
    "a CD-ROM": ("cdrom:[Debian]/ bookworm main\n", USUAL),
    "nothing": ("", USUAL),
}


@pytest.mark.parametrize("case", TARGETS)
def test_the_mirror_is_found_in_apts_own_words(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aptsource, "usual", lambda: USUAL)
    targets, mirror = TARGETS[case]
    assert aptsource.choose(targets, "bookworm") == mirror


def test_a_mirror_list_gives_its_first_address(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("https://first.test/debian/\thttps://second.test/debian\n")
    assert aptsource.plain(f"mirror+file:{tmp_path}/list") == "https://first.test/debian"
    assert aptsource.plain(f"mirror+file:{tmp_path}/none") is None


def test_the_usual_mirror_is_debootstraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aptsource, "PATH", str(tmp_path))
    with pytest.raises(LabError, match="set INFERFLEET_DEBIAN_MIRROR"):
        aptsource.usual()
    program = tmp_path / "debootstrap"
    program.write_text('#!/bin/sh\nDEF_MIRROR="http://usual.test/debian"\n')
    program.chmod(0o755)
    assert aptsource.usual() == USUAL


def test_ubuntu_falls_back_to_debians_usual_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFERFLEET_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    monkeypatch.setattr(aptsource, "usual", lambda: USUAL)
    assert aptsource.machine_mirror() == USUAL
    monkeypatch.setenv("INFERFLEET_DEBIAN_MIRROR", "http://near.test/debian/")
    assert aptsource.machine_mirror() == Mirror("http://near.test/debian", "http://near.test/debian-security")


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::Max-FutureTime "86400";', True),
        ('Acquire::http::Proxy "http://proxy.test:3128";', False),
        ('APT::Install-Recommends "0";', False),
    ],
)
def test_only_settings_about_dates_reach_the_hosts(line: str, taken: bool) -> None:
    assert bool(aptsource.DATE_SETTINGS.match(line)) is taken


class Upstream(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[tuple[http.server.ThreadingHTTPServer, Path, list[str]]]:
    (tmp_path / "www/pool").mkdir(parents=True)
    asked: list[str] = []
    kind = type("Handler", (Upstream,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(tmp_path / "www")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, tmp_path / "www", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(
    upstream: tuple[http.server.ThreadingHTTPServer, Path, list[str]], tmp_path: Path
) -> Iterator[Callable[[str], tuple[int, str, bytes]]]:
    """GET through the real proxy program: status, X-Cache, body."""
    if not Path(aptcache.APT_HELPER).exists():
        pytest.skip("no apt on this machine")
    url = f"http://127.0.0.1:{upstream[0].server_address[1]}"
    argv = [sys.executable, "-I", "-S", aptcache.__file__, "--bind", "127.0.0.1", "--cache", str(tmp_path / "cache")]
    with subprocess.Popen([*argv, f"{ARCHIVE}/={url}/"], stdout=subprocess.PIPE, text=True) as proxy:
        port = proxy.stdout.readline().strip() if proxy.stdout else ""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{port}"}))

        def get(address: str) -> tuple[int, str, bytes]:
            try:
                with opener.open(address, timeout=30) as answer:
                    return answer.status, answer.headers["X-Cache"], answer.read()
            except urllib.error.HTTPError as error:
                return error.code, "", b""

        yield get
        proxy.kill()


def test_the_proxy_keeps_packages_and_serves_them_without_the_mirror(
    upstream: tuple[http.server.ThreadingHTTPServer, Path, list[str]], ask: Callable[[str], tuple[int, str, bytes]]
) -> None:
    server, www, asked = upstream
    (www / "pool/a_1.deb").write_bytes(b"package")
    (www / "InRelease").write_bytes(b"index")
    assert ask(f"{ARCHIVE}/pool/a_1.deb") == (200, "MISS", b"package")
    assert ask(f"{ARCHIVE}/InRelease") == (200, "MISS", b"index")
    assert ask(f"{ARCHIVE}/pool/a_1.deb") == (200, "HIT", b"package")
    assert asked.count("/pool/a_1.deb") == 1
    for kept in (www.parent / "cache").iterdir():
        os.utime(kept, (0, 0))  # long ago
    (www / "InRelease").write_bytes(b"newer")
    assert ask(f"{ARCHIVE}/InRelease") == (200, "MISS", b"newer")
    for kept in (www.parent / "cache").iterdir():
        os.utime(kept, (0, 0))
    server.shutdown()
    server.server_close()
    assert ask(f"{ARCHIVE}/InRelease") == (200, "STALE", b"newer")
    assert ask(f"{ARCHIVE}/pool/a_1.deb") == (200, "HIT", b"package")
    assert ask(f"{ARCHIVE}/pool/b_1.deb")[0] == 502


def test_the_proxy_passes_on_what_is_missing_and_serves_nothing_else(
    upstream: tuple[http.server.ThreadingHTTPServer, Path, list[str]], ask: Callable[[str], tuple[int, str, bytes]]
) -> None:
    assert ask(f"{ARCHIVE}/pool/none.deb")[0] == 404
    assert ask("http://elsewhere.test/pool/a_1.deb")[0] == 403
    assert ask(f"{ARCHIVE}/../secret")[0] == 403
    assert list((upstream[1].parent / "cache").iterdir()) == []  # nothing half fetched stays
