"""What a host says of itself."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inferfleet.engines.ollama_host import DROP_IN, MARK
from inferfleet.remote import ollama_models, ollama_state, ollama_store
from tests.remote.conftest import Run, Site, chunks_cut_short
from tests.remote.store import Store, digest_of

ME = pwd.getpwuid(os.getuid()).pw_name
WEIGHTS = digest_of(b"weights")


def _model(store: Store, record: dict[str, Any] | None = None, name: str = "tiny:latest") -> dict[str, Any]:
    found: dict[str, Any] = ollama_state.models(str(store.path), record or {}, [name])[name]
    return found


def _question(tmp_path: Path, **changed: Any) -> dict[str, Any]:
    return {
        "root": str(tmp_path / "opt"),
        "units": ["ollama-gpu0"],
        "addresses": {"ollama-gpu0": "127.0.0.1:9"},
        "models_dir": str(tmp_path / "models"),
        "models": ["tiny:latest"],
        "home": str(tmp_path),
        "user": ME,
        "record": str(tmp_path / "record.json"),
        "unit_dir": str(tmp_path / "units"),
        "environment_dir": str(tmp_path / "containers"),
        **changed,
    }


def test_bare_host(run: Run, tmp_path: Path) -> None:
    """Nothing of ours is there, nothing answers, and systemd is silent: still one line of JSON."""
    (tmp_path / "systemctl").symlink_to("/bin/true")
    done = run("ollama_state", _question(tmp_path, user="nobody-of-that-name"), PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    state = json.loads(line)
    assert state["user"] is None and state["misowned"] is None
    assert state["release"] == {"root": str(tmp_path / "opt"), "current": None, "versions": {}}
    assert (state["models"], state["record"]) == ({}, {"models": {}, "blobs": {}})
    assert state["loaded"] == state["version"] == {"ollama-gpu0": None}
    assert state["units"]["ollama-gpu0"]["active"] == ""


def test_a_container_of_ours_that_lost_its_environment_is_ours_still(tmp_path: Path) -> None:
    """Else nobody would end it, and no check would see it: it has a card."""
    ask = _question(tmp_path)
    units = {
        "a": f"{MARK}: x\n[Service]\nExecStart=/usr/bin/docker run --rm a\n",
        "theirs": "[Service]\nExecStart=/usr/bin/docker run --rm b\n",
        "native": f"{MARK}: x\n[Service]\nExecStart=/opt/ollama serve\n",
    }
    for directory in (ask["unit_dir"], ask["environment_dir"]):
        Path(directory).mkdir()
    for name, text in units.items():
        (Path(ask["unit_dir"]) / f"{name}.service").write_text(text)
    (Path(ask["environment_dir"]) / "b.env").write_text("")
    assert ollama_state.containers(ask) == ["a", "b"]


def test_no_systemd(run: Run, tmp_path: Path) -> None:
    done = run("ollama_state", _question(tmp_path), PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "this host has no systemctl; services need systemd\n"


def test_names_of_models(store: Store) -> None:
    """As Ollama's own `list` says them: its registry and its library go without saying."""
    store.add("tiny:latest")
    store.add("chat:v1", namespace="team")
    store.add("model-GGUF:Q4_K_M", registry="hf.co", namespace="user")
    found = ollama_state.models(str(store.path), {}, ["tiny:latest"])
    assert set(found) == {"tiny:latest", "team/chat:v1", "hf.co/user/model-GGUF:Q4_K_M"}
    assert found["team/chat:v1"] is None
    for name in found:
        assert ollama_store.manifest_path(str(store.path), name) == ollama_state.manifests(str(store.path))[name]


def test_a_whole_model(store: Store) -> None:
    manifest = store.add("tiny:latest")
    found = _model(store)
    assert (found["manifest"], found["weights"], found["broken"]) == (manifest, [WEIGHTS], {})
    assert len(found["new"]) == 3


def _cut(store: Store) -> None:
    store.blob(WEIGHTS).write_bytes(b"weigh")


def _flip(store: Store) -> None:
    store.blob(WEIGHTS).write_bytes(b"Weights")


def _remove(store: Store) -> None:
    store.blob(WEIGHTS).unlink()


@pytest.mark.parametrize(("spoil", "state"), [(_cut, "corrupt"), (_flip, "corrupt"), (_remove, "missing")])
def test_broken_blobs(store: Store, spoil: Any, state: str) -> None:
    store.add("tiny:latest")
    spoil(store)
    assert _model(store)["broken"] == {WEIGHTS: state}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"layers": []}', b'{"layers": null}', b"\xff\xfe"])
def test_broken_manifest(store: Store, content: bytes) -> None:
    store.add("tiny:latest")
    store.manifest("tiny:latest").write_bytes(content)
    assert _model(store)["broken"] == {"manifest": "corrupt"}


def test_fingerprints(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was hashed once is not read again, until anything about the file has changed."""
    store.add("tiny:latest")
    record: dict[str, Any] = {"models": {}, "blobs": {}}
    work = {"checked": {}, "models_dir": str(store.path)}
    ollama_models.check_blobs(work, record, ["tiny:latest"])
    read: list[str] = []
    whole = ollama_state.sha256
    monkeypatch.setattr(ollama_state, "sha256", lambda path: (read.append(os.path.basename(path)), whole(path))[1])
    assert (_model(store, record["blobs"])["new"], read) == ({}, ["latest"])
    blob = store.blob(WEIGHTS)
    times = blob.stat()
    blob.write_bytes(b"Weights")
    os.utime(blob, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _model(store, record["blobs"])["broken"] == {WEIGHTS: "corrupt"}


def test_the_record_survives_json(store: Store, tmp_path: Path) -> None:
    """Times in nanoseconds are larger than what a float holds exactly."""
    store.add("tiny:latest")
    record: dict[str, Any] = {"models": {}, "blobs": {}}
    work = {"checked": {}, "models_dir": str(store.path)}
    ollama_models.check_blobs(work, record, ["tiny:latest"])
    ollama_models.write_record(str(tmp_path / "lib/record.json"), record)
    read = ollama_state.read_json(str(tmp_path / "lib/record.json"))
    assert _model(store, read["blobs"])["new"] == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"models": {"a": '])
def test_a_record_that_is_none(tmp_path: Path, run: Run, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    assert ollama_state.read_json(str(tmp_path / "record.json")) == {}
    assert ollama_models.read_record(str(tmp_path / "record.json")) == {"models": {}, "blobs": {}}


EDITED = {"models": {"a": {}, "b": 5, "c": {"recipe": "r", "manifest": "m", "ours": True}}, "blobs": []}


def test_a_record_edited_by_hand(tmp_path: Path) -> None:
    """What has not its form is left out: a host's file must not end the run of all hosts in a traceback."""
    (tmp_path / "record.json").write_text(json.dumps(EDITED))
    found = ollama_state.read_record(str(tmp_path / "record.json"))
    assert found == {"models": {"c": {"recipe": "r", "manifest": "m", "ours": True}}, "blobs": {}}


def test_files_of_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add("tiny:latest")
    assert ollama_state.foreign_files(str(store.path), ME) is None
    assert ollama_state.foreign_files(str(store.path), "nobody-of-that-name") is None
    other = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != os.getuid())
    assert ollama_state.foreign_files(str(store.path), other) == str(store.path)


def test_a_file_that_goes_away_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ollama renames what it has fetched; the question must not end in a traceback for it."""
    store.add("tiny:latest")
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: ((d, n, [*files, "gone-partial"]) for d, n, files in walk(top)))
    assert ollama_state.foreign_files(str(store.path), ME) is None


def test_processes() -> None:
    """What a process was started with, not what its file says."""
    code = "import sys; sys.stdout.write('up\\n'); sys.stdout.flush(); sys.stdin.read()"
    environment = {"A": "1=2", "B": "", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        found = ollama_state.environment(str(process.pid))
        assert (found["A"], found["B"]) == ("1=2", "")
        assert ollama_state.executable(str(process.pid)) == os.path.realpath(sys.executable)
        process.stdin.close()
        process.wait()
    assert ollama_state.environment(str(process.pid)) == {}
    assert ollama_state.executable(str(process.pid)) is None


def test_units(tmp_path: Path) -> None:
    unit_dir = tmp_path / "units"
    for name, text in {"ollama-gpu0": MARK, "ollama-old": MARK, "other": "# by hand"}.items():
        (unit_dir / f"{name}.service.d").mkdir(parents=True)
        (unit_dir / f"{name}.service.d" / DROP_IN).write_text(f"{text}\n[Service]\n")
    (unit_dir / "plain.service").write_bytes(b"[Service]\n\xff\n")
    assert ollama_state.marked_units(str(unit_dir)) == ["ollama-gpu0", "ollama-old"]
    shown = {"ActiveState": "active", "MainPID": "0", "UnitFileState": "enabled", "NeedDaemonReload": "yes"}
    found = ollama_state.unit("plain", shown, str(unit_dir))
    assert (found["active"], found["enabled"], found["stale"]) == ("active", "enabled", True)
    assert (found["environment"], found["executable"], found["link"]) == ({}, None, None)
    assert found["file"] == "[Service]\n\ufffd\n"
    (unit_dir / "masked.service").symlink_to("/dev/null")
    found = ollama_state.unit("masked", {}, str(unit_dir))
    assert (found["file"], found["link"]) == (None, "/dev/null")


@pytest.mark.parametrize(("text", "is_stranger"), [("[Unit]\n", True), (f"{MARK}: x\n[Unit]\n", False), ("", False)])
def test_strangers(tmp_path: Path, text: str, is_stranger: bool) -> None:
    (tmp_path / "ollama.service").write_text(text)
    assert ollama_state.stranger(str(tmp_path)) == (f"{tmp_path}/ollama.service" if is_stranger else None)


def test_a_masked_ollama_is_no_stranger(tmp_path: Path) -> None:
    """Somebody masked it so that it never runs; ours cannot stand on it."""
    (tmp_path / "ollama.service").symlink_to("/dev/null")
    assert ollama_state.stranger(str(tmp_path)) is None


@pytest.mark.parametrize(("text", "foreign"), [("[Unit]\n", True), (f"{MARK}\n", False), ("", False)])
def test_units_of_other_programs(tmp_path: Path, text: str, foreign: bool) -> None:
    (tmp_path / "ssh.service").write_text(text)
    shown = {"FragmentPath": f"{tmp_path}/ssh.service"}
    assert ollama_state.unit("ssh", shown, str(tmp_path / "units"))["foreign"] is foreign
    assert ollama_state.unit("new", {}, str(tmp_path))["foreign"] is False


def test_a_release_says_where_it_really_is(tmp_path: Path) -> None:
    """The kernel says a process's program without links, so /opt on another disk must not look like another program."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "opt").symlink_to("disk")
    assert ollama_state.release(f"{tmp_path}/opt")["root"] == f"{tmp_path.resolve()}/disk"


def test_systemd_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many instances there are, and also where it says nothing of some."""
    log = tmp_path / "log"
    fake = tmp_path / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{log}\nprintf "Id=a.service\\nActiveState=active\\n\\nId=b.service\\n"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = ollama_state.systemctl_show(["a", "b", "c"])
    assert found == {"a": {"Id": "a.service", "ActiveState": "active"}, "b": {"Id": "b.service"}}
    assert len(log.read_text().splitlines()) == 1
    assert ollama_state.systemctl_show([]) == {}


def test_memory(site: Site) -> None:
    site.routes["/api/ps"] = {"models": [{"name": "tiny:latest", "size": 9, "size_vram": 4, "digest": "x"}]}
    assert ollama_state.loaded(site.address) == {"tiny:latest": {"size": 9, "size_vram": 4}}
    for answer in (500, b"<html>", chunks_cut_short(b"{")):
        site.routes["/api/ps"] = answer
        assert ollama_state.loaded(site.address) is None


def test_never_through_a_proxy(run: Run, site: Site, tmp_path: Path) -> None:
    """A host's own addresses are asked directly, whatever /etc/environment says."""
    site.routes |= {"/api/version": {"version": "0.32.15"}, "/api/ps": {"models": []}}
    question = _question(tmp_path, addresses={"ollama-gpu0": site.address})
    (tmp_path / "systemctl").symlink_to("/bin/true")
    done = run(
        "ollama_state", question, PATH=str(tmp_path), http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9"
    )
    assert json.loads(done.stdout)["version"] == {"ollama-gpu0": "0.32.15"}
