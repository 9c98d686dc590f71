"""The prober and the real Ollama with the tiny model: paused, killed, without its card, without its model."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.mirror.test_real_ollama import Ollama, create, group_members, mirror, registry, release, serving
from tests.prober.conftest import document, server
from tests.prober.running import Running, running, until

pytestmark = pytest.mark.lab
__all__ = ["mirror", "registry", "release"]  # fixtures

LIMITS = {"idle_s": 1, "work_s": 1, "busy_s": 1, "every_s": 0.2}


@pytest.fixture(scope="module")
def engine(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    with serving(release, tmp_path_factory.mktemp("prober"), gpu=False) as ollama:
        create(ollama, "tiny")
        yield ollama


def address(ollama: Ollama) -> str:
    return ollama.url.removeprefix("http://")


@pytest.fixture
def prober(engine: Ollama, short: Path) -> Iterator[Running]:
    with running(short, document({**server(address(engine)), "model": "tiny"}, limits=LIMITS)) as made:
        until(lambda: made.ask("m/s") == "up\n", 60)
        yield made


def processes(ollama: Ollama) -> dict[str, int]:
    """Name -> process id, of the server and what it started."""
    port = address(ollama).partition(":")[2]
    found = {}
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"OLLAMA_HOST=127.0.0.1:{port}".encode() in environ.read_bytes():
                found[(environ.parent / "comm").read_text().strip()] = int(environ.parent.name)
        except OSError:
            continue
    return found


def paused(prober: Running, process: int, why: str) -> None:
    os.kill(process, signal.SIGSTOP)
    try:
        until(lambda: prober.ask("m/s").startswith(why), 6)
    finally:
        os.kill(process, signal.SIGCONT)
    until(lambda: prober.ask("m/s") == "up\n")


def test_a_paused_server_hangs_and_comes_back(engine: Ollama, prober: Running) -> None:
    paused(prober, processes(engine)["ollama"], "down #hang: no byte after ")
    assert "hang" in prober.one()["probes"] and prober.one()["flips"] == 2


def test_a_paused_model_hangs_though_the_api_lives(engine: Ollama, prober: Running) -> None:
    runner = next(process for name, process in processes(engine).items() if name != "ollama")
    paused(prober, runner, "down #hang: no byte after ")


def test_first_token_and_rate_are_measured(prober: Running) -> None:
    until(lambda: prober.one()["tokens_per_s"])
    assert 0 < prober.one()["first_token_s"] < 1
    assert prober.one()["tokens_per_s"] > 5


def test_the_cpu_is_noticed_where_a_card_is_declared(engine: Ollama, short: Path) -> None:
    """Every answer is 200 and exact; /api/ps says that no byte of the model is on a card."""
    engine.ask("tiny", "ping")
    with running(short, document({**server(address(engine), vram=1.0), "model": "tiny"}, limits=LIMITS)) as made:
        until(lambda: made.ask("m/s") == "down #cpu: 0 % of the model is in a card, declared is 100 %\n")


def test_names_of_the_same_weights(engine: Ollama, short: Path) -> None:
    """/api/ps has the name that was asked for first, here the alias."""
    engine.post("/api/generate", model="tiny", keep_alive=0)
    until(lambda: not engine.get("/api/ps")["models"])
    answer = requests.post(f"{engine.url}/api/copy", json={"source": "tiny", "destination": "gpt-4o"})
    assert answer.status_code == 200
    engine.ask("gpt-4o", "ping")
    engine.ask("tiny", "ping")
    assert [each["name"] for each in engine.get("/api/ps")["models"]] == ["gpt-4o:latest"]
    one = {**server(address(engine), vram=1.0, aliases=["gpt-4o"]), "model": "tiny"}
    with running(short, document(one, limits=LIMITS)) as made:
        until(lambda: made.ask("m/s").startswith("down #cpu"))


def test_a_model_that_may_sleep_is_not_woken(engine: Ollama, short: Path) -> None:
    engine.post("/api/generate", model="tiny", keep_alive=0)
    until(lambda: not engine.get("/api/ps")["models"])
    with running(short, document({**server(address(engine), resident=False), "model": "tiny"}, limits=LIMITS)) as made:
        until(lambda: made.one()["probes"].get("asleep", 0) > 3)
        assert made.ask("m/s") == "up\n" and not engine.get("/api/ps")["models"]


def test_a_model_that_is_missing(engine: Ollama, short: Path) -> None:
    with running(short, document({**server(address(engine)), "model": "nothing"}, limits=LIMITS)) as made:
        until(lambda: made.ask("m/s") == "down #other: model missing: 404 model 'nothing' not found\n")


def test_kill_9_is_refused(release: Path, tmp_path: Path, short: Path) -> None:
    with serving(release, tmp_path, gpu=False) as ollama:
        create(ollama, "tiny")
        with running(short, document({**server(address(ollama)), "model": "tiny"}, limits=LIMITS)) as made:
            until(lambda: made.ask("m/s") == "up\n", 60)
            found = processes(ollama)
            os.kill(found["ollama"], signal.SIGKILL)
            until(lambda: made.ask("m/s") == "down #refused: Connection refused\n", 5)
        # SIGKILL leaves the runner behind; `serving` wants none.
        for process in group_members(found["ollama"]):
            os.kill(process, signal.SIGKILL)
        until(lambda: not group_members(found["ollama"]))
