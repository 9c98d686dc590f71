"""Engines that fail, and chains: the next is asked before the first byte, and never after it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, plan, wait_for
from tests.gateway.tls import Authority

SECRET = "sk-provider-secret"
FAULTS = ("500", "502", "503", "429", "401", "403", "404", "408", "cut_first", "garbage", "hang")


@pytest.fixture(scope="module")
def engines(doubles: Doubles, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EngineDouble]:
    tls = Authority(tmp_path_factory.mktemp("ca")).server("localhost")
    found = {name: doubles.engine(name) for name in ("a", "b", "small")}
    return {**found, "provider": doubles.engine("provider", need=SECRET, tls=tls)}


@pytest.fixture(scope="module")
def started(start: Start, engines: dict[str, EngineDouble], tmp_path_factory: pytest.TempPathFactory) -> Running:
    authority = Authority(tmp_path_factory.getbasetemp() / "ca0").pem
    provider = {
        "url": f"https://localhost:{engines['provider'].port}", "key": "env:X", "ca": "file:ca.pem",
        "first_token": "500ms", "answer": "800ms", "errors": 3, "pause": "1s", "models": {"o3": "o3"},
    }  # fmt: skip
    chains = {
        "gpt-4o": ["openai:gpt-4o", "llama2:13b"],
        "smart": ["openai:gpt-5", "llama2:13b", "small"],
        "own": ["small", "openai:gpt-5-nano"],
    }
    made = plan(
        {"llama2:13b": ([engines["a"], engines["b"]], 2), "small": ([engines["small"]], 1)},
        {"llama2:13b": ("gpt-4o",)},
        providers={"openai": provider},
        chains=chains,
        takeover=0.5,
        first_token="1s",
        answer="2s",
        queue=2,
    )
    return start(made, providers={"openai": SECRET}, authorities={"openai": authority})


@pytest.fixture
def gateway(started: Running, engines: dict[str, EngineDouble]) -> Iterator[Running]:
    assert wait_for(lambda: all(engine.now == 0 for engine in engines.values()))
    for engine in engines.values():
        engine.reset()
    started.all_up()
    yield started


def test_the_provider_first(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """With the provider's key, not the client's; the body and its model as they came."""
    mine = {"OpenAI-Organization": "org-mine", "Authorization": "Bearer k-alice"}
    answer = gateway.chat("gpt-4o", temperature=0.5, options={"headers": mine})
    assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "openai:gpt-4o")
    (seen,) = engines["provider"].seen
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(seen.body) == json.loads(answer.request.body)  # type: ignore[arg-type]
    assert seen.headers["host"] == f"localhost:{engines['provider'].port}"
    assert not [name for name in seen.headers if name.startswith(("x-inferfleet", "openai-"))]
    assert not engines["a"].asked + engines["b"].asked


@pytest.mark.parametrize("pad", ["", "x" * 200_000], ids=["small", "large"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_fleet_takes_over(
    gateway: Running, engines: dict[str, EngineDouble], fault: str, stream: bool, pad: str
) -> None:
    """Whatever the provider does before its first byte; the same body goes to the fleet."""
    engines["provider"].mode = fault
    for model in ("gpt-4o", "smart"):
        answer = gateway.chat(model, stream=stream, pad=pad)
        assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "llama2:13b"), answer.text
        assert engines["provider"].asked == 1
        (seen,) = [*engines["a"].seen, *engines["b"].seen]
        sent = json.loads(answer.request.body)  # type: ignore[arg-type]
        there = "gpt-4o" if model == "gpt-4o" else "llama2:13b"  # an alias that the engine serves is not renamed
        assert json.loads(seen.body) == {**sent, "model": there}
        assert seen.headers.get("authorization") is None
        for engine in engines.values():
            engine.seen.clear()


def test_a_provider_that_is_not_there(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    engines["provider"].stop()
    try:
        answer = gateway.chat("gpt-4o")
        assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "llama2:13b")
    finally:
        engines["provider"].back()


def test_nothing_is_retried_after_the_first_byte(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """A client sees that the stream has no end, and nobody else is asked."""
    engines["provider"].mode = engines["a"].mode = engines["b"].mode = "cut"
    for model in ("gpt-4o", "llama2:13b"):
        with pytest.raises(requests.RequestException):
            gateway.chat(model, stream=True)
    assert engines["provider"].asked == 1
    assert engines["a"].asked + engines["b"].asked == 1


def test_three_tiers(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """HAProxy avoids only the server that failed last, so three in one backend would go round between the first two."""
    engines["provider"].mode = engines["a"].mode = engines["b"].mode = "500"
    for pad in ("", "x" * 200_000):
        answer = gateway.chat("smart", pad=pad)
        assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "small"), answer.text
        assert json.loads(engines["small"].seen[-1].body)["model"] == "small"
    assert engines["provider"].asked == 2


def test_the_last_answer_is_the_clients(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    for engine in engines.values():
        engine.mode = "500"
    answer = gateway.chat("smart")
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "small says 500")


def test_own_first(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    answer = gateway.chat("own")
    assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "small")
    engines["small"].mode = "500"
    answer = gateway.chat("own")
    assert (answer.status_code, answer.headers["x-inferfleet-tier"]) == (200, "openai:gpt-5-nano")
    assert json.loads(engines["provider"].seen[-1].body)["model"] == "gpt-5-nano"


def test_a_wrong_key_at_the_provider_is_not_the_clients(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """A model that the provider alone offers: 502, since the client's key is right."""
    gateway.ask(f"set map {gateway.places.etc}/maps/providers.map openai Bearer-old")
    try:
        answer = gateway.chat("o3")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_refused")
        assert gateway.chat("gpt-4o").headers["x-inferfleet-tier"] == "llama2:13b"
    finally:
        gateway.ask(f"set map {gateway.places.etc}/maps/providers.map openai Bearer\\ {SECRET}")
    assert gateway.chat("o3").status_code == 200  # the key was rotated at run time


def test_breaker_and_way_back(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """After three failures in a row nobody waits for the provider; after the pause it is tried again."""
    assert gateway.chat("gpt-4o").headers["x-inferfleet-tier"] == "openai:gpt-4o"
    engines["provider"].mode, engines["provider"].seen[:] = "hang", []
    slow = [gateway.chat("gpt-4o").elapsed.total_seconds() for _ in range(3)]
    assert min(slow) > 0.7
    began = time.monotonic()
    quick = [gateway.chat("gpt-4o") for _ in range(3)]
    assert [answer.headers["x-inferfleet-tier"] for answer in quick] == ["llama2:13b"] * 3
    assert time.monotonic() - began < 0.5
    assert engines["provider"].asked == 3
    engines["provider"].mode = "ok"
    assert wait_for(lambda: gateway.chat("gpt-4o").headers["x-inferfleet-tier"] == "openai:gpt-4o", 4)
    assert time.monotonic() - began > 0.5


def test_takeover_is_bounded(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """Four slots, of which chains may take half: the rest is refused at once, and own users are served."""
    engines["provider"].mode = "500"
    engines["a"].delay = engines["b"].delay = 0.6
    with ThreadPoolExecutor(8) as pool:
        chained = [pool.submit(gateway.chat, "gpt-4o") for _ in range(5)]
        assert wait_for(lambda: sum(one.done() for one in chained) == 3, 0.5)
        assert gateway.chat("llama2:13b", "bob").status_code == 200
        answers = [one.result() for one in chained]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 3
    assert {answer.json()["error"]["code"] for answer in refused} == {"takeover_full"}
    assert all("retry-after" in answer.headers for answer in refused)


def test_ollamas_api_stays_in_the_fleet(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """Providers speak OpenAI's alone; a chain that only a provider answers is not there for Ollama's clients."""
    assert gateway.post("/api/chat", {"model": "gpt-4o"}).status_code == 200
    assert engines["a"].asked + engines["b"].asked == 1
    answer = gateway.post("/api/chat", {"model": "o3"})
    assert (answer.status_code, type(answer.json()["error"])) == (404, str)
    assert not engines["provider"].asked


@pytest.mark.parametrize("fault", ["cut_first", "refuse", "503"])
def test_another_engine_answers(gateway: Running, engines: dict[str, EngineDouble], fault: str) -> None:
    """An engine that resets, is gone, or has no room: no request is lost."""
    if fault == "refuse":
        engines["a"].stop()
    engines["a"].mode = fault
    try:
        answers = [gateway.chat("llama2:13b", stream=bool(n % 2)) for n in range(12)]
    finally:
        if fault == "refuse":
            engines["a"].back()
    assert [answer.status_code for answer in answers] == [200] * 12
    assert engines["b"].asked == 12


def test_a_dead_engine_is_no_black_hole(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """It has the fewest connections, so all would go there: the first failure takes it out, and it comes back."""
    engines["a"].stop()
    try:
        with ThreadPoolExecutor(3) as pool:
            codes = list(pool.map(lambda _: gateway.chat("llama2:13b").status_code, range(60)))
        assert codes == [200] * 60
        assert gateway.server("m_llama2:13b", "host::a")["status"].startswith("DOWN")
    finally:
        engines["a"].back()
    assert wait_for(lambda: gateway.server("m_llama2:13b", "host::a")["status"].startswith("UP"), 4)


def test_no_engine_at_all(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    engines["small"].stop()
    try:
        answers = [gateway.chat("small"), gateway.chat("small"), gateway.post("/api/chat", {"model": "small"})]
    finally:
        engines["small"].back()
    for answer in answers:
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert isinstance(answers[-1].json()["error"], str)
    assert answers[0].json()["error"]["code"] == "overloaded"
    assert wait_for(lambda: gateway.chat("small").status_code == 200, 4)


def test_draining_loses_nothing(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """`drain` lets streams end, sends no new request, and `ready` brings it back."""
    engines["a"].tokens, engines["a"].gap = 20, 0.05
    engines["b"].tokens, engines["b"].gap = 20, 0.05
    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(gateway.chat, "llama2:13b", stream=True) for _ in range(2)]
        assert wait_for(lambda: engines["a"].now + engines["b"].now == 2)
        busy = "a" if engines["a"].now else "b"
        other = "b" if busy == "a" else "a"
        gateway.ask(f"set server m_llama2:13b/host::{busy} state drain")
        engines[other].gap, before = 0.0, engines[busy].asked
        assert [gateway.chat("llama2:13b").status_code for _ in range(4)] == [200] * 4
        assert engines[busy].asked == before
        assert all(one.result().text.rstrip().endswith("[DONE]") for one in streams)
    gateway.ask(f"set server m_llama2:13b/host::{busy} state ready")
    engines[busy].gap = 0.0
    assert wait_for(lambda: gateway.chat("llama2:13b").ok and engines[busy].asked > before, 3)


def test_the_prober_is_heard(started: Running, gateway: Running) -> None:
    """HAProxy asks it for each instance by name; `down` takes it out, `up` brings it back, but ends no drain."""
    said, questions = {"answer": b"down #no token\n"}, set[str]()
    server = socket.create_server(("127.0.0.1", started.plan.settings.prober_port))
    ended = threading.Event()

    def serve() -> None:
        server.settimeout(0.2)
        while not ended.is_set():
            try:
                one, _ = server.accept()
            except TimeoutError:
                continue
            questions.add(one.recv(200).decode())
            one.sendall(said["answer"])
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert wait_for(lambda: gateway.server("m_small", "host::small")["status"].startswith("DOWN"), 4)
        assert gateway.chat("small").status_code == 503
        gateway.ask("set server m_llama2:13b/host::a state drain")
        said["answer"] = b"up\n"
        assert wait_for(lambda: gateway.server("m_small", "host::small")["status"].startswith("UP"), 4)
        time.sleep(1)
        assert gateway.server("m_llama2:13b", "host::a")["status"].startswith("DRAIN")
        assert questions == {"m_llama2:13b/host::a\n", "m_llama2:13b/host::b\n", "m_small/host::small\n"}
    finally:
        gateway.ask("set server m_llama2:13b/host::a state ready")
        ended.set()
        thread.join()
        server.close()


def test_no_secret_where_others_read(started: Running) -> None:
    """The provider's key is in one file, and that is its owner's alone."""
    holding = {
        str(path.relative_to(started.work)): oct(path.stat().st_mode & 0o777)
        for path in started.work.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    assert holding == {"etc/maps/providers.map": "0o600"}
    for path in Path(started.places.etc).rglob("*.map"):
        assert path.stat().st_mode & 0o077 == 0
    text = "".join(path.read_text() for path in Path(started.places.etc).rglob("*") if path.is_file())
    assert "k-alice" not in text


def test_the_log_names_the_tier(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    engines["provider"].mode = "500"
    for pad in ("", "x" * 200_000):
        answer = gateway.chat("gpt-4o", pad=pad)
        found: list[dict[str, Any]] = []
        assert wait_for(
            lambda answer=answer, found=found: (
                found.extend(line for line in gateway.log() if line["id"] == answer.headers["x-request-id"])
                or bool(found)
            )
        )
        assert (found[0]["tier"], found[0]["model"], found[0]["key"]) == ("llama2:13b", "gpt-4o", "alice")
        assert found[0]["via"].startswith("m_llama2:13b/host::")
