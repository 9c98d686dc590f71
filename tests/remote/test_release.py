"""Unpacking a release: whole or not at all, whatever the source sends and wherever the run is killed."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import ollama_release, ollama_state
from tests.remote.conftest import Answer, Run, Site, chunks_cut_short, cut_short

ARCHIVE = f"ollama-linux-{ollama_release.ARCHITECTURES[os.uname().machine]}.tar.zst"
OLD, NEW = "0.32.14", "0.32.15"


def _packed(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o755, 1_700_000_000
            tar.addfile(info, io.BytesIO(content))
    return subprocess.run(["zstd", "-qc"], input=raw.getvalue(), capture_output=True, check=True).stdout


RELEASES = {v: _packed({"bin/ollama": f"ollama {v}".encode(), "lib/ollama/libx.so": b"x" * 5000}) for v in (OLD, NEW)}


def _sums(version: str, archive: str = ARCHIVE) -> bytes:
    return f"{hashlib.sha256(RELEASES[version]).hexdigest()}  ./{archive}\n{'0' * 64}  ./other.tgz\n".encode()


@pytest.fixture
def source(site: Site) -> Site:
    for version, packed in RELEASES.items():
        site.routes |= {f"/v{version}/{ARCHIVE}": packed, f"/v{version}/sha256sum.txt": _sums(version)}
    return site


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "opt/ollama"


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's disks need not be in step for what is tested here."""
    monkeypatch.setattr(os, "sync", lambda: None)


def _work(source: Site, root: Path, version: str, **changed: Any) -> dict[str, Any]:
    return {
        "root": str(root),
        "version": version,
        "base": f"{source.url}/v{version}",
        "archive": "ollama-linux-{arch}.tar.zst",
        "sha256": None,
        "proxy": {},
        "unpack": True,
        "keep": [version],
        **changed,
    }


def _live(root: Path) -> str:
    """What the live program says; an error where there is none."""
    return (root / "current/bin/ollama").read_text()


def _state(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the next run would see; files count as root's, who unpacks on a real host."""
    lstat = os.lstat
    with monkeypatch.context() as as_root:
        as_root.setattr(os, "lstat", lambda p: os.stat_result([*lstat(p)[:4], 0, *lstat(p)[5:]]))
        return ollama_state.release(str(root))


def test_fresh(run: Run, source: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("ollama_release", _work(source, root, NEW))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Ollama {NEW} is live\n", "")
    assert _live(root) == f"ollama {NEW}"
    assert os.readlink(root / "current") == NEW
    assert sorted(os.listdir(root)) == [NEW, "current"]
    marker = json.loads((root / NEW / ".inferfleet.json").read_text())
    assert marker == {
        "files": {"bin/ollama": [14, 1_700_000_000], "lib/ollama/libx.so": [5000, 1_700_000_000]},
        "binary": hashlib.sha256(f"ollama {NEW}".encode()).hexdigest(),
    }
    found = _state(root, monkeypatch)
    assert found["current"] == NEW
    assert found["versions"][NEW]["damaged"] is None


def test_a_failure_is_one_line(run: Run, source: Site, root: Path) -> None:
    source.routes[f"/v{NEW}/sha256sum.txt"] = chunks_cut_short(b"abc")
    done = run("ollama_release", _work(source, root, NEW))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert f"{source.url}/v{NEW}/sha256sum.txt broke off: IncompleteRead" in done.stderr


def test_the_declared_proxy_is_asked(run: Run, source: Site, root: Path) -> None:
    """The site here plays the proxy: it is asked for the whole address of another host."""
    name = f"/v{NEW}/{ARCHIVE}"
    source.routes[f"http://releases.test{name}"] = source.routes[name]
    digest, proxy = hashlib.sha256(RELEASES[NEW]).hexdigest(), {"HTTP_PROXY": source.url, "http_proxy": source.url}
    work = {**_work(source, root, NEW, sha256=digest), "base": f"http://releases.test/v{NEW}", "proxy": proxy}
    assert run("ollama_release", work).returncode == 0
    assert source.paths() == [f"GET http://releases.test{name}"]


def test_the_declared_digest_needs_no_list(source: Site, root: Path) -> None:
    del source.routes[f"/v{NEW}/sha256sum.txt"]
    ollama_release.main(_work(source, root, NEW, sha256=hashlib.sha256(RELEASES[NEW]).hexdigest()))
    assert source.paths() == [f"GET /v{NEW}/{ARCHIVE}"]


@pytest.mark.parametrize("form", ["{}  {}", "{} *{}", "{}  ./{}"])
def test_lists_of_digests(source: Site, root: Path, form: str) -> None:
    line = form.format(hashlib.sha256(RELEASES[NEW]).hexdigest(), ARCHIVE)
    source.routes[f"/v{NEW}/sha256sum.txt"] = f"junk\n\n{line}\n".encode()
    ollama_release.main(_work(source, root, NEW))


URL = f"/v{NEW}/{ARCHIVE}"
EMPTY = _packed({"README": b"no program"})
BAD: dict[str, tuple[dict[str, Answer], dict[str, Any], str]] = {
    "wrong digest in the list": (
        {f"/v{NEW}/sha256sum.txt": f"{'0' * 64}  {ARCHIVE}\n".encode()},
        {},
        f"wanted is {'0' * 64}; nothing was installed",
    ),
    "wrong digest declared": ({}, {"sha256": "1" * 64}, f"wanted is {'1' * 64}; nothing was installed"),
    "not in the list": (
        {f"/v{NEW}/sha256sum.txt": _sums(NEW, "other.tar.zst")},
        {},
        f"sha256sum.txt does not list {ARCHIVE}; set `sha256` or check the source",
    ),
    "no list": ({f"/v{NEW}/sha256sum.txt": 404}, {}, "sha256sum.txt answers 404 Not Found; check `sources`"),
    "no archive": ({URL: 404}, {}, f"{ARCHIVE} answers 404 Not Found; check `sources` and `version`"),
    "source is down": ({}, {"base": "http://127.0.0.1:9/x"}, "cannot be reached: [Errno 111] Connection refused"),
    "breaks off": ({URL: cut_short(len(RELEASES[NEW]), RELEASES[NEW][:60])}, {}, "broke off after 60 of"),
    "breaks off in a chunk": ({URL: chunks_cut_short(RELEASES[NEW][:60])}, {}, "broke off after 0 MB"),
    "larger than the disk": ({URL: cut_short(10**17, b"x")}, {}, "disk is full:"),
    "no archive at all": ({URL: b"<html>"}, {"sha256": hashlib.sha256(b"<html>").hexdigest()}, "does not unpack: "),
    "another archive": ({URL: EMPTY}, {"sha256": hashlib.sha256(EMPTY).hexdigest()}, "holds no bin/ollama"),
}


@pytest.mark.parametrize(("routes", "changed", "says"), BAD.values(), ids=BAD)
def test_a_bad_source_changes_nothing(
    source: Site, root: Path, routes: dict[str, Answer], changed: dict[str, Any], says: str
) -> None:
    ollama_release.main(_work(source, root, OLD))
    source.routes |= routes
    with pytest.raises(SystemExit) as raised:
        ollama_release.main(_work(source, root, NEW, **changed))
    line = str(raised.value.code)
    assert len(line.splitlines()) == 1
    assert line.startswith("ollama: ") and says in line
    assert _live(root) == f"ollama {OLD}"
    assert sorted(os.listdir(root)) == [OLD, "current"]


def test_upgrade_keeps_what_it_is_told(source: Site, root: Path) -> None:
    for version in (OLD, NEW):
        ollama_release.main(_work(source, root, version, keep=[OLD, NEW]))
    assert sorted(os.listdir(root)) == [OLD, NEW, "current"]
    ollama_release.main(_work(source, root, OLD, unpack=False, keep=[OLD]))
    assert sorted(os.listdir(root)) == [OLD, "current"]
    assert _live(root) == f"ollama {OLD}"


def test_what_is_not_ours_is_left(source: Site, root: Path) -> None:
    (root / "0.1.0/bin").mkdir(parents=True)
    ollama_release.main(_work(source, root, NEW))
    assert sorted(os.listdir(root)) == ["0.1.0", NEW, "current"]


def _spoil(file: Path, content: bytes) -> None:
    times = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


DAMAGE: dict[str, tuple[str, bytes | None, str | None]] = {
    "file removed": ("lib/ollama/libx.so", None, "lib/ollama/libx.so"),
    "file shorter": ("lib/ollama/libx.so", b"x", "lib/ollama/libx.so"),
    "program of the same size and time": ("bin/ollama", b"Ollama 0.32.15", "bin/ollama"),
    "list of files lost": (".inferfleet.json", b"", "(list of files)"),
    "list of files is another thing": (".inferfleet.json", b"[1]", "(list of files)"),
}


@pytest.mark.parametrize(("name", "content", "damaged"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_seen_and_repaired(
    source: Site,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    damaged: str | None,
) -> None:
    ollama_release.main(_work(source, root, NEW))
    file = root / NEW / name
    _spoil(file, content) if content is not None else file.unlink()
    assert _state(root, monkeypatch)["versions"][NEW]["damaged"] == damaged
    ollama_release.main(_work(source, root, NEW))
    assert _state(root, monkeypatch)["versions"][NEW]["damaged"] is None
    assert sorted(os.listdir(root)) == [NEW, "current"]


class Killed(BaseException):
    """As kill -9: nothing that comes after it changes anything, clean-up in `finally` included."""


def _die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die before the change of the file system of that number, and at every later one."""
    left = step

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def die_or(*args: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return call(*args, **named)

        return die_or

    for name in ("rename", "replace", "symlink", "remove", "unlink", "rmdir", "makedirs"):
        monkeypatch.setattr(os, name, deadly(getattr(os, name)))
    monkeypatch.setattr(subprocess, "run", deadly(subprocess.run))
    monkeypatch.setattr(ollama_release, "open", deadly(open), raising=False)


def _killed_everywhere(work: dict[str, Any], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """Kill the run before each of its changes in turn, `check` after each; how many there are."""
    for step in range(100):
        with monkeypatch.context() as deadly:
            _die_at(step, deadly)
            try:
                ollama_release.main(work)
                return step
            except Killed:
                pass
        check()
    raise AssertionError("it never ends")


def test_killed_anywhere_the_live_version_stays(source: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next run needs nobody's help."""
    down = _work(source, root, OLD)

    def check() -> None:
        assert _live(root) in (f"ollama {OLD}", f"ollama {NEW}")
        assert _state(root, monkeypatch)["versions"].get(NEW, {"damaged": None})["damaged"] is None
        ollama_release.main(down)
        assert _live(root) == f"ollama {OLD}"
        assert sorted(os.listdir(root)) == [OLD, "current"]

    ollama_release.main(down)
    assert _killed_everywhere(_work(source, root, NEW), check, monkeypatch) > 15
    assert _live(root) == f"ollama {NEW}"
    assert sorted(os.listdir(root)) == [NEW, "current"]


def test_killed_while_it_prunes(source: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an old version, without its list of files, would be nobody's and stay for ever."""
    work = _work(source, root, NEW, unpack=False)

    def prepare() -> None:
        ollama_release.main(_work(source, root, NEW, keep=[OLD, NEW]))
        ollama_release.main(_work(source, root, OLD, keep=[OLD, NEW]))

    def again() -> None:
        ollama_release.main(work)
        assert sorted(os.listdir(root)) == [NEW, "current"]
        prepare()

    prepare()
    assert _killed_everywhere(work, again, monkeypatch) > 6


def test_killed_while_it_repairs_the_next_run_ends_it(
    source: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = _work(source, root, NEW)

    def again() -> None:
        ollama_release.main(work)
        assert _live(root) == f"ollama {NEW}"
        assert sorted(os.listdir(root)) == [NEW, "current"]

    assert _killed_everywhere(work, again, monkeypatch) > 10
