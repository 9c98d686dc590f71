"""Queues and their bounds, shares of keys, rates; and who hangs up takes the request along."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, key, plan, wait_for

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def engine(doubles: Doubles) -> EngineDouble:
    return doubles.engine("one")


@pytest.fixture(scope="module")
def started(start: Start, engine: EngineDouble) -> Running:
    """One engine with two slots, a queue of four, of which a key may have half."""
    keys = (key("alice"), key("bob", rpm=5), key("carol", concurrency=2))
    settings: dict[str, Any] = {
        "queue": 4,
        "key_share": 0.5,
        "queue_timeout": "2s",
        "first_token": "2s",
        "answer": "3s",
    }
    return start(plan({"m": ([engine], 2)}, **settings), keys=keys)


@pytest.fixture
def gateway(started: Running, engine: EngineDouble) -> Iterator[Running]:
    wait_for(lambda: engine.now == 0)
    engine.reset()
    started.ask("clear table st_keys")
    yield started
    assert wait_for(lambda: engine.now == 0)


def at_once(gateway: Running, who: list[str], **more: Any) -> list[requests.Response]:
    with ThreadPoolExecutor(len(who)) as pool:
        return list(pool.map(lambda one: gateway.chat("m", one, **more), who))


def test_slots_are_the_engines(gateway: Running, engine: EngineDouble) -> None:
    """Two at a time, the rest waits here, where it can be counted."""
    engine.delay = 0.3
    answers = at_once(gateway, ["alice"] * 4)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert engine.peak == 2


def test_one_key_cannot_fill_a_queue(gateway: Running, engine: EngineDouble) -> None:
    """Two run and two wait for alice; her others are told at once, and carol still has room."""
    engine.delay = 0.6
    with ThreadPoolExecutor(8) as pool:
        hers = [pool.submit(gateway.chat, "m") for _ in range(6)]
        assert wait_for(lambda: sum(one.done() for one in hers) == 2, 0.5)
        his = pool.submit(gateway.chat, "m", "carol").result()
    refused = [one.result() for one in hers if one.result().status_code != 200]
    assert his.status_code == 200
    assert len(refused) == 2
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "share_full")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.elapsed.total_seconds() < 0.4


def test_a_queue_is_bounded(gateway: Running, engine: EngineDouble) -> None:
    engine.delay = 0.8
    gateway_keys = ["alice"] * 4 + ["carol"] * 2
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(gateway.chat, "m", one) for one in gateway_keys]
        assert wait_for(lambda: "4" in gateway.ask("show stat m_m 2 -1").splitlines()[1].split(",")[2:3], 0.6)
        answer = gateway.chat("m", "bob")
        ollama = gateway.post("/api/chat", {"model": "m"}, "bob")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert (ollama.status_code, type(ollama.json()["error"])) == (429, str)
    assert "retry-after" in answer.headers and "retry-after" in ollama.headers
    assert [one.result().status_code for one in waiting] == [200] * 6


def test_who_has_waited_too_long_is_told_to_come_again(gateway: Running, engine: EngineDouble) -> None:
    engine.delay = 2.6
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(gateway.chat, "m") for _ in range(2)]
        assert wait_for(lambda: engine.now == 2)
        late = pool.submit(gateway.chat, "m", "carol").result()
        assert [one.result().status_code for one in running] == [200, 200]
    assert late.status_code == 429
    assert "retry-after" in late.headers
    assert 1.8 < late.elapsed.total_seconds() < 2.5
    assert engine.asked == 2


def test_fair_between_keys(gateway: Running, engine: EngineDouble) -> None:
    """Carol comes after all of alice's, and is served before the last of them."""
    engine.delay = 0.4
    order: list[str] = []

    def ask(who: str) -> None:
        assert gateway.chat("m", who).status_code == 200
        order.append(who)

    threads = [threading.Thread(target=ask, args=("alice",)) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    threads.append(threading.Thread(target=ask, args=("carol",)))
    threads[-1].start()
    for thread in threads:
        thread.join()
    assert order.index("carol") < 4, order


def test_client_gone_is_request_gone(gateway: Running, engine: EngineDouble) -> None:
    """Running, in a stream, and while it waits: the engine is let go, or never asked."""
    body = b'{"model":"m","stream":true}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k-alice\r\nContent-Length: {len(body)}\r\n\r\n"
    engine.mode = "hang"

    def client() -> socket.socket:
        one = socket.create_connection(("127.0.0.1", gateway.plan.settings.port))
        one.sendall(head.encode() + body)
        return one

    running = [client(), client()]
    assert wait_for(lambda: engine.now == 2)
    waiting = client()
    time.sleep(0.1)
    waiting.close()
    began = time.monotonic()
    for one in running:
        one.close()
    assert wait_for(lambda: engine.now == 0, 1)
    assert time.monotonic() - began < 0.5
    assert [seen.aborted for seen in engine.seen] == [True, True]
    engine.mode, engine.gap, engine.tokens = "ok", 0.05, 100
    streaming = client()
    assert wait_for(lambda: engine.now == 1)
    assert streaming.recv(100)
    streaming.close()
    assert wait_for(lambda: engine.now == 0, 1)
    assert engine.asked == 3 and not engine.seen[-1].done


def test_client_gone_with_a_large_body(gateway: Running, engine: EngineDouble) -> None:
    """Through both processes."""
    body = b'{"model":"m","x":"' + b"x" * 200_000 + b'"}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k-alice\r\nContent-Length: {len(body)}\r\n\r\n"
    engine.mode = "hang"
    one = socket.create_connection(("127.0.0.1", gateway.plan.settings.port))
    one.sendall(head.encode() + body)
    assert wait_for(lambda: engine.now == 1)
    one.close()
    assert wait_for(lambda: engine.now == 0, 1)


def test_a_rate_is_the_keys(gateway: Running, engine: EngineDouble) -> None:
    """Also what is refused counts; another key is not touched."""
    answers = [gateway.chat("m" if n % 2 else "nope", "bob") for n in range(7)]
    assert [answer.status_code for answer in answers] == [404, 200, 404, 200, 404, 429, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    assert "retry-after" in answers[-1].headers
    assert gateway.get("/v1/models", "bob").status_code == 429
    assert gateway.chat("m").status_code == 200
    assert engine.asked == 3


def test_concurrency_is_the_keys(gateway: Running, engine: EngineDouble) -> None:
    engine.delay = 0.4
    codes = sorted(answer.status_code for answer in at_once(gateway, ["carol"] * 3))
    assert codes == [200, 200, 429]
    assert gateway.chat("m", "carol").status_code == 200


def test_an_engine_that_says_nothing(start: Start, engine: EngineDouble) -> None:
    """A stream is bounded by its first token, an answer that is none by the whole of it; each is tried three times."""
    engine.reset()
    gateway = start(plan({"m": ([engine], 2)}, first_token="400ms", answer="800ms"))
    engine.mode = "hang"
    for stream, least, most in ((True, 1.2, 2.2), (False, 2.4, 3.6)):
        began = time.monotonic()
        answer = gateway.chat("m", stream=stream)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "upstream_timeout"
        assert least <= time.monotonic() - began < most
    assert engine.asked == 6


def test_a_queue_of_none(start: Start, engine: EngineDouble) -> None:
    engine.reset()
    gateway = start(plan({"m": ([engine], 2)}, queue=0))
    engine.delay = 0.4
    codes = sorted(answer.status_code for answer in at_once(gateway, ["alice"] * 3))
    assert codes == [200, 200, 429]


def test_keys_change_at_run_time(gateway: Running, engine: EngineDouble) -> None:
    """Through the admin socket, without a reload: revoked stops at once, and a new one works at once."""
    etc = gateway.places.etc
    digest = next(one.sha256 for one in gateway.secrets.keys if one.id == "alice")
    gateway.ask(f"del map {etc}/maps/keys.map {digest}")
    assert gateway.chat("m").status_code == 401
    gateway.ask(f"add map {etc}/maps/keys.map {digest} alice")
    assert gateway.chat("m").status_code == 200
    assert engine.asked == 1
