"""The prober's file: what it may say, and the one line where it says something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from inferfleet.prober.config import ConfigError, Limits, load, parse
from inferfleet.prober.unit import CONFIG

ONE = {"backend": "m", "server": "s", "address": "10.0.0.1:11434", "engine": "ollama", "model": "tiny"}


def line(text: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        parse(text)
    return str(error.value)


def test_limits_of_one_server_over_those_of_all() -> None:
    servers = [ONE, {**ONE, "server": "t", "address": "[::1]:80", "limits": {"idle_s": 9, "misses": 5}}]
    config = parse(json.dumps({"limits": {"idle_s": 4}, "servers": servers}).encode())
    assert config.servers[0].limits == Limits(idle_s=4.0)
    assert config.servers[1].limits == Limits(idle_s=9.0, misses=5)
    assert config.servers[0].name == "m/s"
    assert len(config.digest) == 64


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"servers": None}, "servers: must be a list"),
        ({"servers": ["m/s"]}, "servers[0]: must be an object"),
        ({"servers": [ONE, ONE]}, "servers: m/s is there twice"),
        ({"sockets": []}, "sockets: is not known"),
        ({"digest": "1"}, "digest: is not known"),
        ({"stats": "/run/x"}, "stats: must be a list of texts (got '/run/x')"),
        ({"agent": ":9600"}, "agent: is not host:port (got ':9600')"),
        ({"http": "127.0.0.1:70000"}, "http: is not host:port (got '127.0.0.1:70000')"),
        ({"at_once": 0}, "at_once, poll_s: must be above 0"),
        ({"at_once": True}, "at_once: must be int (got True)"),
        ({"limits": []}, "limits: must be an object"),
        ({"limits": {"idle": 3}}, "limits.idle: is not known"),
    ],
)
def test_what_is_wrong_at_the_top(top: dict[str, Any], said: str) -> None:
    assert line(json.dumps({"servers": [ONE], **top}).encode()) == said


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"port": 1}, "servers[0].port: is not known"),
        ({"address": "10.0.0.1"}, "servers[0].address: is not host:port (got '10.0.0.1')"),
        ({"address": "::1:80"}, "servers[0].address: is not host:port (got '::1:80')"),
        ({"engine": "vllm"}, "servers[0].engine: is none of ollama, openai (got 'vllm')"),
        ({"kind": "image"}, "servers[0].kind: is none of chat, embedding (got 'image')"),
        ({"slots": "4"}, "servers[0].slots: must be int (got '4')"),
        ({"slots": 0}, "servers[0]: slots must be above 0, vram from 0 to 1"),
        ({"vram": 2}, "servers[0]: slots must be above 0, vram from 0 to 1"),
        ({"aliases": [1]}, "servers[0].aliases: must be a list of texts (got [1])"),
        ({"limits": {"misses": 0}}, "servers[0].limits.misses: must be above 0 (got 0)"),
        ({"limits": {"idle_s": -1}}, "servers[0].limits.idle_s: must be above 0 (got -1.0)"),
        ({"limits": 3}, "servers[0].limits: must be an object"),
    ],
)
def test_what_is_wrong_in_a_server(own: dict[str, Any], said: str) -> None:
    assert line(json.dumps({"servers": [{**ONE, **own}]}).encode()) == said


def test_what_is_missing_and_what_is_no_json() -> None:
    assert line(json.dumps({"servers": [{"backend": "m"}]}).encode()) == "servers[0].server: is missing"
    assert line(b"[]") == "is not an object"
    assert line(b"{").startswith("is not JSON: ")
    assert line(b"\xff").startswith("is not JSON: ")
    assert line(b'{"servers": [], "limits": {"idle_s": NaN}}') == "limits.idle_s: must be above 0 (got nan)"


def test_the_line_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/no/such\.json: No such file or directory"):
        load("/no/such.json")
    (tmp_path / "prober.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"prober\.json: servers: must be a list"):
        load(str(tmp_path / "prober.json"))
    assert CONFIG.endswith("/prober.json")
