"""By the model that the body names, strictly; and nothing else gets through to an engine."""

import json
import time
from typing import Any

import pytest
import requests

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, key, plan, wait_for

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def engines(doubles: Doubles) -> dict[str, EngineDouble]:
    return {name: doubles.engine(name) for name in ("qwen", "tiny", "odd")}


@pytest.fixture(scope="module")
def started(start: Start, engines: dict[str, EngineDouble]) -> Running:
    models = {"qwen": ([engines["qwen"]], 4), "tiny:1b": ([engines["tiny"]], 4), "team/odd:v1": ([engines["odd"]], 4)}
    keys = (key("alice"), key("bob", models=["tiny:1b"]))
    return start(plan(models, {"qwen": ("gpt-4o-mini",)}, max_body="2m"), keys=keys)


@pytest.fixture
def gateway(started: Running, engines: dict[str, EngineDouble]) -> Running:
    for engine in engines.values():
        engine.reset()
    return started


def asked(engines: dict[str, EngineDouble]) -> int:
    return sum(engine.asked for engine in engines.values())


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("qwen", "qwen"),
        ("qwen:latest", "qwen"),
        ("gpt-4o-mini", "qwen"),
        ("tiny:1b", "tiny"),
        ("team/odd:v1", "odd"),
    ],
)
def test_the_body_says_where(gateway: Running, engines: dict[str, EngineDouble], name: str, engine: str) -> None:
    """OpenAI's and Ollama's API, stream or not; the body goes on as it came."""
    for path in (CHAT, "/api/chat"):
        for stream in (True, False):
            answer = gateway.post(path, {"model": name, "stream": stream, "messages": []})
            assert (answer.status_code, answer.headers["x-double"]) == (200, engine)
            assert json.loads(engines[engine].seen[-1].body)["model"] == name
    assert asked(engines) == 4


def test_streams_flow(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """The first tokens are there long before the last."""
    engines["qwen"].tokens, engines["qwen"].gap = 10, 0.1
    with gateway.chat("qwen", stream=True, options={"stream": True}) as answer:
        times = [time.monotonic() for line in answer.iter_lines(chunk_size=1) if line]
    assert len(times) == 11
    assert times[5] - times[0] > 0.3


def test_unknown_model(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    for name in ("qwen2", "QWEN", "tiny", "qwen\n", "m_qwen", "qwen tiny:1b", "ü", "a" * 500, "../qwen"):
        answer = gateway.chat(name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found"), name
    assert not asked(engines)


TINY = '"messages":[]}'
BAD_BODIES = {
    "model twice": '{"model":"tiny:1b","model":"qwen",' + TINY,
    "model twice, nested between": '{"model":"tiny:1b","x":{"model":"tiny:1b"},"model":"qwen",' + TINY,
    "Model": '{"Model":"qwen",' + TINY,
    "Model beside model": '{"model":"tiny:1b","Model":"qwen",' + TINY,
    "MODEL beside model": '{"MODEL":"qwen","model":"tiny:1b",' + TINY,
    "escaped key": '{"m\\u006fdel":"qwen",' + TINY,
    "escaped key beside": '{"model":"tiny:1b","m\\u006fdel":"qwen",' + TINY,
    "stream twice": '{"model":"tiny:1b","stream":true,"stream":false,' + TINY,
    "Stream": '{"model":"tiny:1b","Stream":true,' + TINY,
    "stream is a text": '{"model":"tiny:1b","stream":"true",' + TINY,
    "key twice": '{"model":"tiny:1b","n":1,"n":2,' + TINY,
    "after NUL": '{"model":"tiny:1b"}\0{"model":"qwen"}',
    "two objects": '{"model":"tiny:1b"}{"model":"qwen"}',
    "trailing comma": '{"model":"tiny:1b",}',
    "comment": '{"model":"tiny:1b"/* x */}',
    "single quotes": "{'model':'tiny:1b'}",
    "NaN": '{"model":"tiny:1b","x":NaN}',
    "hexadecimal": '{"model":"tiny:1b","x":0x10}',
    "list": '[{"model":"tiny:1b"}]',
    "text": '"tiny:1b"',
    "number": "1",
    "null": "null",
    "nothing": "",
    "blank": "  \n",
    "no model": "{}",
    "model is null": '{"model":null}',
    "model is a list": '{"model":["tiny:1b"]}',
    "model is empty": '{"model":""}',
    "cut": '{"model":"tiny:1b","messages":[',
    "deep": '{"model":"tiny:1b","x":' + "[" * 65 + "]" * 65 + "}",
    "very deep": '{"model":"tiny:1b","x":' + "[" * 30000 + "]" * 30000 + "}",
    "BOM": '\ufeff{"model":"tiny:1b"}',
    "UTF-16": '{"model":"tiny:1b"}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "form": "model=tiny:1b&stream=true",
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies(gateway: Running, engines: dict[str, EngineDouble], name: str, large: bool) -> None:
    """A key that may ask tiny alone never reaches qwen. Also in a body that the second process reads."""
    body: Any = BAD_BODIES[name]
    body = body if isinstance(body, bytes) else body.encode()
    if large and b"{" in body:
        at = body.rindex(b"{") + 1 if name != "deep" else 1
        rest = body[at:].lstrip()
        body = body[:at] + b'"pad":"' + b"x" * 150_000 + b'"' + (b"" if rest.startswith(b"}") else b",") + rest
    elif large:
        body = body + b" " * 150_000
    for path, error in ((CHAT, lambda data: data["error"]["message"]), ("/api/chat", lambda data: data["error"])):
        answer = gateway.post(path, body, "bob")
        assert answer.status_code == 400, answer.text
        assert isinstance(error(answer.json()), str)
    assert not asked(engines)


GOOD_BODIES = [
    ' \r\n\t{ "messages" : [ {"model":"qwen"} ] , "model" : "tiny:1b" } \n',
    '{"a":"\\"model\\":\\"qwen\\"","model":"tiny:1b"}',
    '{"a":"ends in a backslash \\\\","model":"tiny:1b"}',
    '{"a":"}],{[","b":[1,2.5e3,-1,true,false,null,{}],"c":{"d":[[]]},"model":"tiny:1b"}',
    '{"model":"t\\u0069ny:1b","ü":"ü"}'.replace('"ü":', '"u":'),
    '{"model":"tiny:1b","x":' + "[" * 62 + "]" * 62 + "}",
    '{"model":"tiny:1b","empty":"","x":[],"y":{}}',
]


@pytest.mark.parametrize("body", GOOD_BODIES)
def test_good_bodies(gateway: Running, engines: dict[str, EngineDouble], body: str) -> None:
    for sent in (body, body.rstrip().removesuffix("}") + ',"pad":"' + "x" * 150_000 + '"}'):
        answer = gateway.post(CHAT, sent.encode(), "bob")
        assert answer.status_code == 200, answer.text
        assert engines["tiny"].seen[-1].body == sent.encode()


PATHS = [
    *("/", "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/show", "/api/ps", "/api/blobs/x"),
    *("/debug/pprof/", "/metrics", "/api/chat/", "//api/chat", "/API/chat", "/api/../api/pull", "/v1/../api/pull"),
    *("/api/%70ull", "/api/chat/../pull", "/v1/models/qwen", "/api/chat%00", "/api/tags;x", "/api/me", "/v1/files"),
    *("/v1", "/api", "/api/chat#/../pull", "/.well-known/x", "/api/pull?path=/api/chat", "/load", "/health"),
]


@pytest.mark.parametrize("path", PATHS)
def test_closed_paths(gateway: Running, engines: dict[str, EngineDouble], path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PUT", "HEAD"):
        request = requests.Request(
            method, gateway.url, headers={"Authorization": "Bearer k-alice"}, data='{"model":"qwen"}'
        )
        ready = request.prepare()
        ready.url = gateway.url + path  # as it is: `requests` would tidy it
        with requests.Session() as session:
            answer = session.send(ready, timeout=10)
        if path.startswith("/api/chat#"):
            assert answer.status_code in (400, 404, 405) or answer.request.path_url == "/api/chat"
            continue
        assert answer.status_code == 404, (method, answer.text)
        if method != "HEAD":
            shape = answer.json()["error"]
            assert isinstance(shape, str if path.startswith("/api/") else dict)
    if "#" not in path:
        assert not asked(engines)


def test_methods(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    for path in ("/v1/chat/completions", "/api/generate", "/api/embed"):
        answer = gateway.get(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for path in ("/v1/models", "/api/tags", "/api/version"):
        answer = gateway.post(path, {})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert not asked(engines)


def test_lists_are_the_keys_own(gateway: Running) -> None:
    names = [one["id"] for one in gateway.get("/v1/models").json()["data"]]
    assert names == ["qwen", "gpt-4o-mini", "tiny:1b", "team/odd:v1"]
    assert [one["id"] for one in gateway.get("/v1/models", "bob").json()["data"]] == ["tiny:1b"]
    tags = [one["name"] for one in gateway.get("/api/tags").json()["models"]]
    assert tags == ["qwen:latest", "gpt-4o-mini:latest", "tiny:1b", "team/odd:v1"]
    assert [one["model"] for one in gateway.get("/api/tags", "bob").json()["models"]] == ["tiny:1b"]
    assert gateway.get("/api/version").json() == {"version": "0.32.15"}


def test_keys_are_for_models(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    assert gateway.chat("tiny:1b", "bob").status_code == 200
    answer = gateway.chat("qwen", "bob")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert gateway.chat("qwen", "bob", pad="x" * 200_000).status_code == 403
    assert isinstance(gateway.post("/api/chat", {"model": "qwen"}, "bob").json()["error"], str)
    assert asked(engines) == 1


def test_without_a_key_there_is_nothing(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    wrong = [
        *({}, {"Authorization": "Bearer k-mallory"}, {"Authorization": "Basic k-alice"}, {"X-Api-Key": "x"}),
        *({"Authorization": "Bearer "}, {"X-Inferfleet-Key": "alice"}),
        {"Authorization": "Bearer x", "X-Api-Key": "k-alice"},
    ]
    for headers in wrong:
        for path in (CHAT, "/v1/models", "/api/chat"):
            answer = requests.post(gateway.url + path, headers=headers, data='{"model":"qwen"}', timeout=10)
            assert answer.status_code == 401, headers
            assert isinstance(answer.json()["error"], str if path.startswith("/api") else dict)
            assert "www-authenticate" in answer.headers
    assert not asked(engines)


def test_the_other_header(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    headers = {"X-Api-Key": "k-alice"}
    answer = requests.post(gateway.url + CHAT, headers=headers, data='{"model":"qwen"}', timeout=10)
    assert answer.status_code == 200
    assert "x-api-key" not in engines["qwen"].seen[-1].headers


def test_what_an_engine_is_told(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """No key, no cookie, nothing of the gateway's own; a host that Ollama lets in; the request's id."""
    told = {"Cookie": "a=b", "Origin": "https://evil.example", "X-Inferfleet-Takeover": "true", "X-Request-Id": "my-1"}
    for pad in ("", "x" * 200_000):
        answer = gateway.chat("qwen", pad=pad, options={"headers": told})
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "my-1")
        headers = engines["qwen"].seen[-1].headers
        assert headers["x-request-id"] == "my-1"
        assert headers["host"] == "localhost"
        gone = {"authorization", "cookie", "origin"}
        assert not [name for name in headers if name in gone or name.startswith("x-inferfleet")]
        assert not [name for name in answer.headers if name.lower().startswith("x-inferfleet-via")]
    made = gateway.chat("qwen", options={"headers": {"X-Request-Id": "bad id\t;"}}).headers["x-request-id"]
    assert len(made) == 36


@pytest.mark.parametrize("size", [90_000, 99_000, 120_000, 140_000, 1_000_000, 2_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_sizes(gateway: Running, engines: dict[str, EngineDouble], size: int, chunked: bool) -> None:
    body = json.dumps({"pad": "x" * size, "model": "qwen"}).encode()
    pieces = (body[at : at + 30_000] for at in range(0, len(body), 30_000))
    answer = gateway.post_raw(CHAT, pieces if chunked else body)
    assert answer.status_code == 200, answer.text
    assert engines["qwen"].seen[-1].body == body


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large(gateway: Running, engines: dict[str, EngineDouble], chunked: bool) -> None:
    body = json.dumps({"model": "qwen", "pad": "x" * 2_200_000}).encode()
    for path in (CHAT, "/api/chat"):
        pieces = (body[at : at + 30_000] for at in range(0, len(body), 30_000))
        try:
            answer = gateway.post_raw(path, pieces if chunked else body)
        except requests.ConnectionError:
            assert chunked  # the rest was still on its way when the answer came
            continue
        assert answer.status_code == 413
        said = answer.json()["error"]
        assert "2097152 bytes" in (said if path == "/api/chat" else said["message"])
    assert not asked(engines)


def test_the_log(gateway: Running) -> None:
    """One line of JSON for each request; no body, no key."""
    assert gateway.chat("gpt-4o-mini", secret="in the body", options={"headers": {"X-Request-Id": "log-1"}}).ok
    assert wait_for(lambda: [line for line in gateway.log() if line["id"] == "log-1"])
    (line,) = [line for line in gateway.log() if line["id"] == "log-1"]
    said = {name: line[name] for name in ("key", "model", "backend", "server", "status", "stream", "path")}
    assert said == {
        "key": "alice", "model": "gpt-4o-mini", "backend": "m_qwen", "server": "host::qwen", "status": 200,
        "stream": False, "path": CHAT,
    }  # fmt: skip
    text = (gateway.work / "haproxy.cfg.log").read_text()
    assert "in the body" not in text and "k-alice" not in text


def test_metrics_and_health(gateway: Running) -> None:
    base = f"http://127.0.0.1:{gateway.plan.settings.metrics_port}"
    assert 'proxy="m_qwen"' in requests.get(base + "/metrics", timeout=10).text
    assert requests.get(base + "/healthz", timeout=10).text == "ok"
    assert requests.get(base + "/v1/models", timeout=10).status_code == 404
