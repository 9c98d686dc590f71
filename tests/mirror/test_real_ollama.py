"""The built tarball is a working Ollama: models are pulled and created, answers are exact, the software GPU is used.

The whole file takes a minute at most once the tarball is in the cache, some 3 minutes more where it must be built.
"""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from inferfleet.lab import model
from inferfleet.lab.mirror.ollama import SUMS, TARBALL, missing_packages
from inferfleet.lab.mirror.prepare import OLLAMA, prepare_mirror
from inferfleet.lab.mirror.server import MirrorServer
from inferfleet.lab.paths import cache_dir

pytestmark = pytest.mark.lab

START_S = 30.0
ANSWER_S = 120.0  # the first load on the software GPU compiles shaders, on a machine that may be busy


@pytest.fixture(scope="module")
def mirror() -> Path:
    if missing := missing_packages():
        pytest.skip(f"to build Ollama, install {' '.join(missing)}")
    return prepare_mirror([OLLAMA], cache_dir(), print)


@pytest.fixture(scope="module")
def registry(mirror: Path) -> Iterator[str]:
    with MirrorServer("127.0.0.1", 0, mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def release(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release as a host gets it: fetched from the mirror, its sum checked, unpacked."""
    directory = tmp_path_factory.mktemp("release")
    for name in (TARBALL, SUMS):
        got = requests.get(f"http://{registry}/ollama/v{OLLAMA}/{name}", timeout=60)
        assert got.status_code == 200
        (directory / name).write_bytes(got.content)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=directory, check=True, timeout=60)
    subprocess.run(["tar", "--zstd", "-xf", TARBALL], cwd=directory, check=True, timeout=60)
    return directory


@dataclass(frozen=True)
class Ollama:
    """A running server, with or without the software GPU."""

    url: str
    gpu: bool
    models: Path

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.url}{path}", json={"stream": False, **body}, timeout=ANSWER_S)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        return dict(requests.get(f"{self.url}{path}", timeout=10).json())

    def ask(self, name: str, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return str(self.post("/api/chat", model=name, messages=messages)["message"]["content"])


@contextmanager
def serving(release: Path, home: Path, gpu: bool) -> Iterator[Ollama]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(home / "models"),
        "OLLAMA_CONTEXT_LENGTH": "4096",
        "OLLAMA_NO_CLOUD": "1",
        **({"GGML_VK_VISIBLE_DEVICES": "0"} if gpu else {}),
    }
    command = [release / "bin" / "ollama", "serve"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", server, home / "log")
        yield Ollama(f"http://127.0.0.1:{port}", gpu, home / "models")
    finally:
        server.terminate()
        server.wait(10)
        leftovers = group_members(server.pid)
        for pid in leftovers:
            os.kill(pid, signal.SIGKILL)
    assert not leftovers, "SIGTERM left runners behind"


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def ollama(request: pytest.FixtureRequest, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    with serving(release, tmp_path_factory.mktemp(request.param), gpu=request.param == "gpu") as ollama:
        yield ollama


def wait_until_up(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            assert requests.get(f"{url}/api/version", timeout=2).json() == {"version": OLLAMA}
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail(f"ollama did not start: {log.read_text()[-2000:]}")


def group_members(group: int) -> list[int]:
    """Processes of a process group that still run."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state != "Z":
            members.append(int(stat.parent.name))
    return members


@pytest.fixture(scope="module")
def pulled(ollama: Ollama, registry: str) -> str:
    name = f"{registry}/library/tiny:latest"
    assert ollama.post("/api/pull", model=name, insecure=True)["status"] == "success"
    return name


def create(ollama: Ollama, name: str) -> None:
    """As a client without the registry does: send the weights, then name them."""
    digest = f"sha256:{model.SHA256}"
    with model.GGUF.open("rb") as weights:
        sent = requests.post(f"{ollama.url}/api/blobs/{digest}", data=weights, timeout=60)
    assert sent.status_code == 201, sent.text
    files = {"tiny.gguf": digest}
    body = {"files": files, "template": model.OLLAMA_TEMPLATE, "parameters": model.OLLAMA_PARAMETERS}
    assert ollama.post("/api/create", model=name, **body)["status"] == "success"


def answers(ollama: Ollama, name: str) -> dict[str, str]:
    return {question: ollama.ask(name, question) for question, _ in model.QA}


def test_every_answer_is_exact(ollama: Ollama, pulled: str) -> None:
    assert answers(ollama, pulled) == dict(model.QA)


def test_created_from_the_file(release: Path, tmp_path: Path) -> None:
    with serving(release, tmp_path, gpu=False) as ollama:
        create(ollama, "made-here")
        assert answers(ollama, "made-here") == dict(model.QA)
        # The weights went through llama-quantize and came out as they were.
        assert f"blobs/sha256-{model.SHA256}\n" in ollama.post("/api/show", model="made-here")["modelfile"]


def test_the_model_is_where_it_should_be(ollama: Ollama, pulled: str) -> None:
    ollama.ask(pulled, "ping")
    [running] = ollama.get("/api/ps")["models"]
    assert running["size_vram"] == (running["size"] if ollama.gpu else 0)
    assert running["size"] > 1_000_000


def test_weights_keep_their_digest(ollama: Ollama, pulled: str) -> None:
    shown = ollama.post("/api/show", model=pulled)
    assert f"blobs/sha256-{model.SHA256}\n" in shown["modelfile"]
    assert shown["details"]["family"] == "llama"
    assert shown["details"]["quantization_level"] == "F16"
    assert shown["details"]["parameter_size"] == "1.9M"
    assert (ollama.models / "blobs" / f"sha256-{model.SHA256}").stat().st_size == model.GGUF.stat().st_size


def test_another_name_for_the_same_weights(ollama: Ollama, registry: str) -> None:
    name = f"{registry}/library/llama2:13b"
    assert ollama.post("/api/pull", model=name, insecure=True)["status"] == "success"
    assert ollama.ask(name, "What are you?") == "I am a small model that tests the fleet."
    assert len(list((ollama.models / "blobs").glob("sha256-*"))) < 12


def test_a_name_that_is_not_there(ollama: Ollama, registry: str) -> None:
    body = {"model": f"{registry}/library/nothing:latest", "insecure": True, "stream": False}
    answer = requests.post(f"{ollama.url}/api/pull", json=body, timeout=30)
    assert answer.status_code == 500
    assert "file does not exist" in answer.json()["error"]


def test_streams_end_whole(ollama: Ollama, pulled: str) -> None:
    body = {"model": pulled, "prompt": "Count to ten.", "stream": True}
    with requests.post(f"{ollama.url}/api/generate", json=body, stream=True, timeout=ANSWER_S) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert len(lines) > 5
    assert b'"done":true' in lines[-1]
