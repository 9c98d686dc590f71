"""What the prober takes for granted of HAProxy, asked of the real one; skipped where there is none.

A gateway needs HAProxy 3.0; what is tested here is so from 2.6 on.
"""

import csv
import io
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.prober.conftest import document, server
from tests.prober.engine_double import MODEL, EngineDouble
from tests.prober.running import Running, free_port, running, threaded, until

HAPROXY = shutil.which("haproxy")
pytestmark = pytest.mark.skipif(not HAPROXY, reason="needs haproxy")

CONFIG = """\
global
    stats socket {folder}/admin.sock mode 600 level admin
    stats socket {folder}/stats.sock mode 660 level user
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    option contstats
frontend f
    bind 127.0.0.1:{port}
    default_backend m
backend m
    default-server agent-check agent-inter 100ms
    server s {engine} maxconn 1 agent-addr 127.0.0.1 agent-port {agent} agent-send "m/s\\n"
"""


class Proxy:
    """A running HAProxy before one engine."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def told(self, command: str, name: str = "admin.sock") -> str:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.folder / name))
            asking.sendall(command.encode() + b"\n")
            return asking.makefile().read()

    def row(self) -> dict[str, str]:
        return next(csv.DictReader(io.StringIO(self.told("show stat -1 4 -1").removeprefix("# "))))

    def down(self) -> bool:
        return self.row()["status"] == "DOWN (agent)"

    def generate(self) -> bytes:
        body = json.dumps({"model": MODEL, "prompt": "1"}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/generate", body, timeout=60) as answer:
            return bytes(answer.read())


@contextmanager
def proxy(folder: Path, engine: EngineDouble, agent: int) -> Iterator[Proxy]:
    port = free_port()
    text = CONFIG.format(folder=folder, port=port, engine=engine.address, agent=agent)
    (folder / "haproxy.cfg").write_text(text)
    with (folder / "haproxy.log").open("wb") as log:
        started = subprocess.Popen([str(HAPROXY), "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log)
    try:
        until((folder / "stats.sock").exists)
        yield Proxy(folder, port)
    finally:
        started.terminate()
        started.wait(10)


@contextmanager
def gateway(folder: Path, **limits: float) -> Iterator[tuple[EngineDouble, Running, Proxy]]:
    with threaded() as engine:
        text = document(server(engine.address), stats=[str(folder / "stats.sock")], limits=limits)
        with running(folder, text) as prober, proxy(folder, engine, prober.agent) as made:
            until(lambda: prober.one()["in_flight"] == 0)
            until(lambda: made.row()["last_agt"] == "via agent : up")
            yield engine, prober, made


def test_haproxy_takes_the_answers_and_an_operators_drain_stays(short: Path) -> None:
    with gateway(short) as (engine, _, proxy):
        engine.mode = "empty"
        until(proxy.down)
        assert proxy.row()["last_agt"] == "via agent : down (empty: answers 200 with nothing)"
        engine.mode = "ok"
        until(lambda: not proxy.down())
        proxy.told("set server m/s state drain")
        for mode, answer in (("empty", "down"), ("ok", "up")):
            engine.mode = mode
            until(lambda answer=answer: proxy.row()["last_agt"].startswith(f"via agent : {answer}"))
        assert proxy.row()["status"].startswith("DRAIN")


@pytest.mark.parametrize("mode", ["ok", "empty"], ids=["up", "down"])
def test_when_the_prober_dies_haproxy_keeps_the_state(short: Path, mode: str) -> None:
    with threaded() as engine:
        engine.mode = mode
        text = document(server(engine.address), stats=[str(short / "stats.sock")])
        with running(short, text) as prober:
            until(lambda: prober.ask("m/s"))
            with proxy(short, engine, prober.agent) as made:
                until(lambda: made.row()["last_agt"].startswith("via agent"))
                is_down = made.down()
                assert is_down is (mode == "empty")
                prober.kill()
                until(lambda: made.row()["agent_status"] == "L4CON")
                time.sleep(0.5)
                assert made.down() is is_down
                # One that has just begun knows nothing, and says so: the state stays.
                engine.mode, again = "hang", json.loads(prober.file.read_text())
                (short / "second").mkdir()
                again["limits"]["idle_s"] = 20
                with running(short / "second", json.dumps(again).encode()):
                    until(lambda: made.row()["agent_status"] == "L7RSP")
                    time.sleep(0.5)
                    assert made.down() is is_down


def test_the_prober_reads_and_cannot_change(short: Path) -> None:
    with gateway(short) as (_, _, proxy):
        for command in ("set server m/s state maint", "disable server m/s", "set weight m/s 1", "show sess"):
            assert "Permission denied" in proxy.told(command, "stats.sock")


@pytest.mark.slow
def test_a_long_stream_is_a_sign_of_life(short: Path) -> None:
    """Its only slot is taken for 11 s; HAProxy counts the bytes every 5 s, with `option contstats`."""
    with gateway(short, busy_s=7, idle_s=1) as (engine, prober, proxy):
        engine.tokens, engine.gap_s = 110, 0.1
        asking = threading.Thread(target=proxy.generate)
        asking.start()
        until(lambda: prober.one()["in_flight"] == 1)
        asking.join()
        assert prober.one()["flips"] == 0 and "hang" not in prober.one()["probes"]
