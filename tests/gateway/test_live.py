"""Changes while it runs: keys and providers' keys without a reload, and reloads that lose nothing."""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inferfleet.gateway import Secrets, gateway_files
from inferfleet.gateway.live import commands
from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.program import command, environment
from tests.gateway.running import Running, key, plan, wait_for

PROVIDER_KEY = "sk-with\\odd;signs<1>"


@pytest.fixture(scope="module")
def engines(doubles: Doubles) -> dict[str, EngineDouble]:
    return {"one": doubles.engine("one"), "provider": doubles.engine("provider")}


@pytest.fixture
def gateway(start: Start, engines: dict[str, EngineDouble]) -> Iterator[Running]:
    for engine in engines.values():
        engine.reset()
    providers = {"p": {"url": f"http://127.0.0.1:{engines['provider'].port}", "key": "env:X", "models": {"far": "far"}}}
    made = plan({"m": ([engines["one"]], 50), "n": ([engines["one"]], 1)}, providers=providers)
    yield start(made, keys=(key("alice"), key("bob", models=["n"])), providers={"p": "old"})


def tell(gateway: Running, after: Secrets) -> int:
    """Applies other secrets to the running gateway; how many lines that took."""
    new = gateway_files(gateway.plan, after, gateway.places)
    lines = commands(gateway_files(gateway.plan, gateway.secrets, gateway.places), new, gateway.places.etc)
    assert lines is not None
    for line in lines:
        assert gateway.ask(line).strip() == "", line
    gateway.secrets = after
    return len(lines)


def test_keys_come_and_go(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    old = {"p": "old"}
    assert gateway.chat("m", "carol").status_code == 401
    tell(gateway, Secrets((key("alice"), key("bob", models=["n"]), key("carol", models=["m"], rpm=3)), old))
    assert gateway.chat("m", "carol").status_code == 200
    assert gateway.chat("n", "carol").status_code == 403
    assert [one["id"] for one in gateway.get("/v1/models", "carol").json()["data"]] == ["m"]
    assert gateway.chat("m", "carol").status_code == 429
    tell(gateway, Secrets((key("bob"), key("carol", models=["m", "n"])), old))
    assert gateway.chat("m").status_code == 401
    assert gateway.chat("m", "bob").status_code == 200
    assert gateway.chat("n", "carol").status_code == 200
    assert tell(gateway, gateway.secrets) == 0


def test_a_providers_key_is_rotated(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    assert gateway.chat("far").status_code == 200
    assert tell(gateway, Secrets(gateway.secrets.keys, {"p": PROVIDER_KEY})) == 1
    assert gateway.chat("far").status_code == 200
    sent = [seen.headers["authorization"] for seen in engines["provider"].seen]
    assert sent == ["Bearer old", f"Bearer {PROVIDER_KEY}"]


def test_anything_else_takes_a_reload(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    files = gateway_files(gateway.plan, gateway.secrets, gateway.places)
    other = plan({"m": ([engines["one"]], 51)})
    assert commands(files, gateway_files(other, gateway.secrets, gateway.places), gateway.places.etc) is None
    assert commands(files, files, gateway.places.etc) == ()


def test_reloads_lose_nothing(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """New processes take the listening sockets over; streams end on those that began them."""
    engines["one"].tokens, engines["one"].gap = 20, 0.02
    ended = time.monotonic() + 3

    def client(number: int) -> tuple[int, int]:
        good = bad = 0
        while time.monotonic() < ended:
            pad = "x" * (150_000 if number % 5 == 0 else 1)
            answer = gateway.chat("m", stream=bool(number % 2), pad=pad)
            whole = answer.status_code == 200 and (not number % 2 or answer.text.rstrip().endswith("[DONE]"))
            good, bad = good + whole, bad + (not whole)
        return good, bad

    with ThreadPoolExecutor(12) as pool:
        clients = [pool.submit(client, number) for number in range(12)]
        for _ in range(3):
            time.sleep(0.7)
            gateway.reload()
        counts = [one.result() for one in clients]
    assert sum(bad for _, bad in counts) == 0
    assert sum(good for good, _ in counts) > 30
    assert wait_for(lambda: all(one.poll() is not None for one in gateway.processes[:-2]), 5)


def test_a_bad_file_is_found_before(gateway: Running) -> None:
    """`haproxy -c` refuses it, and what runs goes on."""
    config = gateway.work / "etc" / "haproxy.cfg"
    good = config.read_text()
    config.write_text(good.replace("balance leastconn", "balance lestconn", 1))
    done = subprocess.run(
        command(gateway.root, "-c", "-f", str(config)), env=environment(gateway.root), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert gateway.chat("m").status_code == 200
