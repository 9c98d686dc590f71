"""The server gives what it may, in the pieces asked for, and nothing else."""

import io
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from inferfleet.lab import model
from inferfleet.lab.mirror.byterange import Unsatisfiable, parse_range
from inferfleet.lab.mirror.prepare import tiny_model
from inferfleet.lab.mirror.registry import MANIFEST_TYPE, write_registry
from inferfleet.lab.mirror.server import MirrorServer, find_file

CONTENT = bytes(range(256)) * 4
BLOB = f"/v2/library/tiny/blobs/sha256:{model.SHA256}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "models").mkdir(parents=True)
    (root / "models" / "tiny.gguf").write_bytes(CONTENT)
    (root / "models" / "empty").touch()
    (root / ".hidden").write_text("no")
    (tmp_path / "secret").write_text("no")
    (root / "loop").symlink_to("loop")
    (root / "link").symlink_to(tmp_path / "secret")
    write_registry(root, {"tiny": tiny_model()})
    return root


@pytest.fixture
def server(root: Path) -> Iterator[MirrorServer]:
    with MirrorServer("127.0.0.1", 0, root) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def url(server: MirrorServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def raw(server: MirrorServer, request: bytes) -> bytes:
    """An answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_get_and_head(url: str) -> None:
    got = requests.get(f"{url}/models/tiny.gguf", timeout=5)
    assert (got.status_code, got.content) == (200, CONTENT)
    head = requests.head(f"{url}/models/tiny.gguf", timeout=5)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "1024", b"")
    assert head.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "part", "where"),
    [
        ("bytes=0-0", CONTENT[:1], "bytes 0-0/1024"),
        ("bytes=10-19", CONTENT[10:20], "bytes 10-19/1024"),
        ("bytes=1000-", CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=1000-5000", CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-4", CONTENT[-4:], "bytes 1020-1023/1024"),
        ("bytes=-5000", CONTENT, "bytes 0-1023/1024"),
    ],
)
def test_ranges(url: str, header: str, part: bytes, where: str) -> None:
    got = requests.get(f"{url}/models/tiny.gguf", headers={"Range": header}, timeout=5)
    assert (got.status_code, got.content, got.headers["Content-Range"]) == (206, part, where)


@pytest.mark.parametrize("header", ["bytes=9-2", "bytes=a-b", "lines=1-2", "bytes=-", "bytes=0-1,4-5"])
def test_ranges_that_are_passed_over(url: str, header: str) -> None:
    got = requests.get(f"{url}/models/tiny.gguf", headers={"Range": header}, timeout=5)
    assert (got.status_code, got.content) == (200, CONTENT)


@pytest.mark.parametrize(("header", "size"), [("bytes=1024-", 1024), ("bytes=-0", 1024), ("bytes=0-0", 0)])
def test_ranges_outside(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


def test_range_outside_is_416(url: str) -> None:
    got = requests.get(f"{url}/models/tiny.gguf", headers={"Range": "bytes=1024-"}, timeout=5)
    assert (got.status_code, got.headers["Content-Range"]) == (416, "bytes */1024")


def test_a_resumed_download_gets_all_where_we_cannot_say_that_nothing_changed(url: str) -> None:
    headers = {"Range": "bytes=10-", "If-Range": '"abc"'}
    assert requests.get(f"{url}/models/tiny.gguf", headers=headers, timeout=5).content == CONTENT


def test_empty_file(url: str) -> None:
    got = requests.get(f"{url}/models/empty", timeout=5)
    assert (got.status_code, got.headers["Content-Length"]) == (200, "0")


def test_registry(url: str) -> None:
    assert requests.get(f"{url}/v2/", timeout=5).status_code == 200
    manifest = requests.get(f"{url}/v2/library/tiny/manifests/latest", timeout=5)
    assert manifest.headers["Content-Type"] == MANIFEST_TYPE
    assert "Location" not in manifest.headers
    for answer in (
        requests.head(url + BLOB, timeout=5),
        requests.get(url + BLOB, timeout=5, headers={"Range": "bytes=0-7"}),
    ):
        assert answer.headers["Location"] == BLOB


PATHS_WITHOUT_ANSWER = [
    "/",
    "/models",
    "/models/",
    "/nothing",
    "/.hidden",
    "/link",
    "/../secret",
    "/models/../../secret",
    "/%2e%2e/secret",
    "/models/%2e%2e/%2e%2e/secret",
    "/models/..%2f..%2fsecret",
    "/models/.%2e/.hidden",
    "//etc/passwd",
    "/%2fetc/passwd",
    "/models/tiny.gguf/",
    "/models/tiny.gguf%00",
    "/./.hidden",
    "/models/./../../secret",
    "/" + "a" * 300,
    "/loop",
]


@pytest.mark.parametrize("path", ["/./models/tiny.gguf", "/models/./tiny.gguf", "/models/%2e/tiny.gguf"])
def test_a_dot_in_a_path_means_nothing(server: MirrorServer, path: str) -> None:
    """So apt asks for packages of a flat repository."""
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(CONTENT)


@pytest.mark.parametrize("path", PATHS_WITHOUT_ANSWER)
def test_no_way_out_and_no_listing(server: MirrorServer, path: str) -> None:
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"secret" not in answer
    assert b"tiny.gguf" not in answer


def test_find_file_takes_what_is_there(root: Path) -> None:
    assert find_file(root.resolve(), "/models/tiny.gguf?x=1") == root.resolve() / "models" / "tiny.gguf"


def test_other_methods_are_refused(url: str) -> None:
    assert requests.put(f"{url}/models/tiny.gguf", data=b"x", timeout=5).status_code == 501


def test_log(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    requests.get(f"{url}/models/tiny.gguf", headers={"Range": "bytes=0-9"}, timeout=5)
    requests.get(f"{url}/nothing", timeout=5)
    deadline = time.monotonic() + 5
    while said.getvalue().count("\n") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    lines.sort(key=lambda line: str(line["path"]))  # a line is written after its answer, which the next may overtake
    assert [(line["method"], line["path"], line["status"], line["range"]) for line in lines] == [
        ("GET", "/models/tiny.gguf", 206, "bytes=0-9"),
        ("GET", "/nothing", 404, None),
    ]
    assert (lines[0]["bytes"], lines[0]["client"]) == (10, "127.0.0.1")


def test_slow_holds_the_rate_and_does_not_hold_others(root: Path) -> None:
    with MirrorServer("127.0.0.1", 0, root, slow=2048) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        began = time.monotonic()
        with requests.get(url + BLOB, stream=True, timeout=5):  # takes half an hour; left alone after this line
            assert requests.get(f"{url}/models/tiny.gguf", timeout=5).content == CONTENT
        assert 0.4 < time.monotonic() - began < 5
        server.shutdown()
