"""A thousand malformed requests: each gets an error in the right shape, none of HAProxy's own making, and no engine."""

import json
import random
import socket
from collections import Counter

import pytest

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, key, plan

SEED = 20260101
COUNT = 1000
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/chat", "/api/generate", "/api/embed")
GOOD = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false}'

NO_MODELS = ("null", "1", "[]", "{}", "true", '""', '"nope"', '"m\\u0000"', '"\\ud800"', '"../m"', '"m "')
NO_OBJECTS = (b"", b"null", b"[]", b'"m"', b"model=m", b"\xef\xbb\xbf" + GOOD, GOOD.decode().encode("utf-16"))
HEADERS = (
    "X: y", "Content-Length: -1", "Content-Length: 1x", "Transfer-Encoding: x", ": y", "A\0: b", "x" * 20_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def engine(doubles: Doubles) -> EngineDouble:
    return doubles.engine("one")


@pytest.fixture(scope="module")
def gateway(start: Start, engine: EngineDouble) -> Running:
    return start(plan({"m": ([engine], 4)}, max_body="1m"), keys=(key("alice"),))


def send(gateway: Running, data: bytes, wait: float = 5.0) -> bytes:
    """What comes back until the connection ends or, for what HAProxy still waits for, until the time is up."""
    with socket.create_connection(("127.0.0.1", gateway.plan.settings.port), timeout=wait) as one:
        try:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            found = b""
            while part := one.recv(65536):
                found += part
        except OSError:  # HAProxy was done before we were
            return b""
    return found


def request(path: str, body: bytes, headers: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k-alice\r\nConnection: close\r\n".encode()
    return head + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def spoiled(chance: random.Random) -> bytes:
    """A good body with one thing wrong with it, of a kind that no strict reader takes."""
    kind = chance.randrange(9)
    at = chance.randrange(len(GOOD))
    if kind == 0:
        return GOOD[:at]
    if kind == 1:
        return GOOD + bytes([chance.choice(b'{}[],:"x0\0')])
    if kind == 2:
        return chance.randbytes(chance.randrange(200))
    if kind == 3:
        twice = chance.choice(["model", "Model", "mODEL", "m\\u006fdel", "stream", "messages"])
        return GOOD[:-1] + f',"{twice}":"m"}}'.encode()
    if kind == 4:
        return GOOD.replace(b'"m"', chance.choice(NO_MODELS).encode(), 1)
    if kind == 5:
        return GOOD.replace(b'"stream":false', b'"stream":' + chance.choice([b"0", b'"no"', b"null,", b"[]", b"False"]))
    if kind == 6:
        deep = chance.randrange(65, 5000)
        return GOOD[:-1] + b',"x":' + b"[" * deep + b"]" * deep + b"}"
    if kind == 7:
        return chance.choice(NO_OBJECTS)
    return GOOD.replace(b",", b",,", 1) if chance.random() < 0.5 else GOOD.replace(b":", b" ", 1)


def checked(answer: bytes, path: str) -> int:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 500, answer[:200]
    error = json.loads(body)["error"]
    if path.startswith("/api/"):
        assert isinstance(error, str)
    else:
        assert set(error) == {"message", "type", "param", "code"}
    return status


def test_bodies(gateway: Running, engine: EngineDouble) -> None:
    chance = random.Random(SEED)
    seen: Counter[int] = Counter()
    for number in range(COUNT):
        path, body = chance.choice(PATHS), spoiled(chance)
        if number % 20 == 0:
            body = body + b" " * 130_000  # read by the second process
        try:
            seen[checked(send(gateway, request(path, body)), path)] += 1
        except (AssertionError, ValueError, IndexError, KeyError) as error:
            pytest.fail(f"request {number}: {body[:200]!r}: {error!r}")
    assert engine.asked == 0
    assert sum(seen.values()) == COUNT
    assert seen[400] > COUNT * 0.8


def test_heads(gateway: Running, engine: EngineDouble) -> None:
    """Paths, methods and headers that are junk; what is no HTTP at all gets HAProxy's 400 or an end, and no more."""
    chance = random.Random(SEED)
    for number in range(200):
        path = "/" + "".join(chance.choice("abcpul/.%2e~;?=&") for _ in range(chance.randrange(30)))
        method = chance.choice(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "FOO", "POST\t", ""])
        header = chance.choice(HEADERS)
        data = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n".encode()
        answer = send(gateway, data)
        assert not answer or answer.split()[1].startswith(b"4") or answer.split()[1] in (b"501", b"505"), (number, data)
    assert engine.asked == 0


SMUGGLED = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 4\r\nContent-Length: 90\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
]


@pytest.mark.parametrize("header", SMUGGLED)
def test_no_second_request_is_smuggled(gateway: Running, engine: EngineDouble, header: bytes) -> None:
    body = b"0\r\n\r\nPOST /api/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n" + b'{"model":"m"}'
    send(gateway, request("/api/chat", body, header))
    assert not [seen for seen in engine.seen if seen.path not in PATHS]


def test_the_gateway_still_serves(gateway: Running, engine: EngineDouble) -> None:
    assert gateway.chat("m").status_code == 200
    assert "500" not in {str(line["status"]) for line in gateway.log()}
    assert not [line for line in gateway.log() if line["status"] >= 500]
