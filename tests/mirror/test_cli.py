"""The commands, run as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from inferfleet.lab import model
from inferfleet.lab.mirror.cli import mirror
from inferfleet.lab.paths import cache_dir


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("/a", "/b", "/a"),
        ("", "/b", "/b/inferfleet"),
        ("", "", "/home/me/.cache/inferfleet"),
    ],
)
def test_cache_dir(monkeypatch: pytest.MonkeyPatch, own: str, shared: str, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("INFERFLEET_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", shared)
    assert cache_dir() == Path(expected)


def test_mirror_lays_out_and_prints_where(tmp_path: Path) -> None:
    release = tmp_path / "mirror" / "ollama" / "v0.32.15"
    release.mkdir(parents=True)
    (release / ".made-of.json").write_text('{"layout": 1}')
    done = CliRunner().invoke(mirror, ["--cache", str(tmp_path), "--model", "tiny", "--model", "qwen3:8b"])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/mirror\n")
    root = tmp_path / "mirror"
    assert (root / "models" / "tiny.gguf").read_bytes() == model.GGUF.read_bytes()
    assert (root / "v2" / "library" / "qwen3" / "manifests" / "8b").is_file()
    assert (root / "v2" / "library" / "tiny" / "manifests" / "latest").is_file()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    command = [sys.executable, "-m", "inferfleet.lab.mirror.server", "--port", "0", "--root", str(tmp_path)]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, "--slow", "100000"], stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        yield process, json.loads(process.stderr.readline())["listening"]
        process.send_signal(signal.SIGKILL)


def test_server_says_where_it_listens_and_holds_the_rate(server: tuple["subprocess.Popen[str]", str]) -> None:
    process, url = server
    began = time.monotonic()
    part = requests.get(f"{url}file", headers={"Range": "bytes=0-49999"}, timeout=10)
    assert (part.status_code, len(part.content)) == (206, 50_000)
    assert 0.4 < time.monotonic() - began < 3
    assert process.stderr is not None
    assert json.loads(process.stderr.readline())["bytes"] == 50_000


def test_a_client_that_goes_away_is_logged_and_does_no_harm(server: tuple["subprocess.Popen[str]", str]) -> None:
    process, url = server
    with requests.get(f"{url}file", stream=True, timeout=10) as answer:
        next(answer.iter_content(1000))
    assert process.stderr is not None
    entry = json.loads(process.stderr.readline())
    assert entry["status"] == 200
    assert 0 < entry["bytes"] < 1_000_000
    assert requests.head(f"{url}file", timeout=10).status_code == 200
