"""The whole program, over real sockets and signals."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.prober.pack import zipped
from tests.prober.conftest import document, server
from tests.prober.engine_double import EngineDouble
from tests.prober.running import Running, running, threaded, until


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineDouble]:
    with threaded() as double:
        yield double


@pytest.fixture
def prober(engine: EngineDouble, short: Path) -> Iterator[Running]:
    engine.mode = "ok"
    with running(short, document(server(engine.address), limits={"idle_s": 1, "busy_s": 1})) as made:
        until(lambda: made.ask("m/s"))
        yield made


def test_the_agent_says_up_and_down_and_why(engine: EngineDouble, prober: Running) -> None:
    assert prober.ask("m/s") == "up\n"
    engine.mode = "empty"
    until(lambda: prober.ask("m/s") == "down #empty: answers 200 with nothing\n")
    assert prober.ask("m/nobody") == ""
    assert prober.ask("x" * 600) == ""
    engine.mode = "ok"
    until(lambda: prober.ask("m/s") == "up\n")
    said = prober.said()
    assert said[1:] == ["m/s: up", "m/s: down: empty: answers 200 with nothing", "m/s: up"]


def test_of_what_is_not_known_yet_the_agent_says_nothing(engine: EngineDouble, short: Path) -> None:
    engine.mode = "hang"
    with running(short, document(server(engine.address), limits={"idle_s": 20})) as made:
        assert made.ask("m/s") == ""
        assert made.one()["up"] is None


def test_questions_in_pieces_and_from_those_who_never_ask(prober: Running) -> None:
    address = ("127.0.0.1", prober.agent)
    with socket.create_connection(address, timeout=10) as asking, socket.create_connection(address, timeout=10) as mute:
        for piece in (b"m", b"/", b"s", b"\n"):
            asking.sendall(piece)
            time.sleep(0.01)
        assert asking.makefile().read() == "up\n"
        before = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert mute.recv(10) == b""
        assert time.monotonic() - before < 5


def test_thousands_of_questions_and_slow_readers_leave_nothing_behind(prober: Running) -> None:
    def round_of(count: int) -> None:
        for _ in range(count):
            assert prober.ask("m/s") == "up\n"

    slow = [socket.create_connection(("127.0.0.1", prober.http)) for _ in range(50)]
    mute = [socket.create_connection(("127.0.0.1", prober.agent)) for _ in range(300)]
    round_of(500)
    for each in (*slow, *mute):
        each.close()
    until(lambda: prober.open_files() < 30)
    before = prober.memory_kib()
    round_of(2000)
    assert prober.memory_kib() - before < 1500
    until(lambda: prober.open_files() < 30)
    assert prober.page("/status"), "slow readers keep no page from others for long"


def test_a_new_file_keeps_what_is_unchanged(engine: EngineDouble, prober: Running) -> None:
    until(lambda: prober.one()["probes"].get("ok", 0) > 3)
    probes, digest = prober.one()["probes"]["ok"], prober.status()["config"]["sha256"]
    both = [server(engine.address, slots=7), server(engine.address, "m/new")]
    prober.write(document(*both))
    prober.again()
    assert prober.one()["probes"]["ok"] >= probes and prober.one()["slots"] == 7
    assert prober.status()["config"]["sha256"] != digest
    until(lambda: prober.ask("m/new") == "up\n")
    prober.write(document(server(engine.address, "m/new"), server("127.0.0.1:1")))
    prober.again()
    assert prober.ask("m/s") == "", "it is another engine now"
    until(lambda: prober.ask("m/s") == "down #refused: Connection refused\n")
    prober.write(document())
    prober.again()
    assert prober.status()["servers"] == []


def test_a_bad_file_changes_nothing_and_says_so_in_one_line(prober: Running) -> None:
    before = len(prober.said())
    prober.file.write_text('{"servers": 3}')
    prober.again()
    line = f"{prober.file}: servers: must be a list; what was read before stays"
    assert prober.said()[before:] == [line]
    assert prober.ask("m/s") == "up\n"
    assert prober.status()["config"]["error"] == line.partition(";")[0]
    assert "inferfleet_prober_config_good 0" in prober.page("/metrics")
    prober.write(document(server("127.0.0.1:1")))
    prober.again()
    assert prober.status()["config"]["error"] == ""


def test_other_addresses_are_taken_without_a_restart(prober: Running) -> None:
    old, text = prober.agent, json.loads(prober.file.read_text())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        prober.file.write_text(json.dumps({**text, "agent": f"127.0.0.1:{taken.getsockname()[1]}"}))
        prober.again()
        assert "address already in use" in prober.said()[-1] and prober.ask("m/s") == "up\n"
        prober.agent = int(taken.getsockname()[1])
    prober.again()
    assert prober.ask("m/s") == "up\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def test_a_host_that_stood_still_blames_no_engine(engine: EngineDouble, prober: Running) -> None:
    """As a virtual machine that is moved: every limit passes at once, and no engine was silent."""
    engine.token_s = 0.1
    for _ in range(2):
        prober.process.send_signal(signal.SIGSTOP)
        time.sleep(1.7)
        prober.process.send_signal(signal.SIGCONT)
        until(lambda: prober.ask("m/s") == "up\n")
    engine.token_s = 0.0
    assert prober.one()["flips"] == 0


METRIC = re.compile(r'inferfleet_prober_(\w+?)(\{(\w+="([^"\\\n]|\\.)*",?)+\})? (-?[\d.e+-]+)')


def test_metrics_are_what_prometheus_reads(prober: Running) -> None:
    until(lambda: prober.one()["tokens_per_s"])
    prober.ask("m/s")
    prober.ask("m/x")
    lines = prober.page("/metrics").splitlines()
    found = {match[1]: match for line in lines if (match := METRIC.fullmatch(line))}
    assert len(lines) == len([line for line in lines if line.startswith("# ") or METRIC.fullmatch(line)])
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    assert {"up", "state", "first_token_seconds", "tokens_per_second", "life_seconds", "probes_total"} <= set(found)
    assert found["up"][0] == 'inferfleet_prober_up{backend="m",server="s"} 1'
    assert 'inferfleet_prober_agent_questions_total{answer="unknown"} 1' in lines
    assert float(found["first_token_seconds"][5]) < 5
    assert 1 < float(found["tokens_per_second"][5]) < 10000


def test_status_is_one_document(prober: Running) -> None:
    status = prober.status()
    assert set(status) == {"program", "config", "uptime_s", "haproxy", "servers", "restarts"}
    assert len(status["program"]) == 64
    assert prober.one()["up"] is True and prober.one()["why"] == ""


def test_other_pages_and_methods_are_not_there(prober: Running) -> None:
    for request in (b"GET /x HTTP/1.1\r\n\r\n", b"POST /status HTTP/1.1\r\n\r\n", b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", prober.http), timeout=10) as asking:
            asking.sendall(request)
            assert asking.makefile(newline="").read().startswith("HTTP/1.1 404 Not Found\r\n")


def test_sigterm_is_clean_and_quick(engine: EngineDouble, short: Path) -> None:
    engine.mode = "hang"
    many = [server(engine.address, f"m/s{n}") for n in range(20)]
    with running(short, document(*many)) as made:
        time.sleep(0.5)
        began = time.monotonic()
        made.process.terminate()
        assert made.process.wait(5) == 0
        assert time.monotonic() - began < 2
    assert [line for line in made.said() if "Traceback" in line or "Error" in line or "never" in line] == []


@pytest.mark.parametrize("words", [[], ["--check"]], ids=["start", "check"])
def test_a_bad_file_at_the_start_is_one_line_and_the_end(short: Path, words: list[str]) -> None:
    (short / "prober.pyz").write_bytes(zipped())
    (short / "prober.json").write_text("{}")
    command = [sys.executable, "-I", str(short / "prober.pyz"), *words, str(short / "prober.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, f"{short}/prober.json: servers: must be a list\n")


def test_systemds_watchdog_is_told(prober: Running) -> None:
    assert {prober.told.recv(100) for _ in range(4)} <= {b"READY=1", b"WATCHDOG=1"}
