"""What scripts on the host tell a running HAProxy, and read from it."""

import hashlib
from collections.abc import Iterator

import pytest

from inferfleet.engines.gateway_host import entries_digest
from inferfleet.gateway import Secrets, gateway_files
from inferfleet.remote.haproxy import PORTION, info, loaded, map_digest, portions, set_maps
from inferfleet.spec import Key
from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, key, plan

ODD = "sk-with\\odd;signs<1>#x"


@pytest.fixture(scope="module")
def engines(doubles: Doubles) -> dict[str, EngineDouble]:
    return {"one": doubles.engine("one"), "provider": doubles.engine("provider")}


@pytest.fixture
def gateway(start: Start, engines: dict[str, EngineDouble]) -> Iterator[Running]:
    for engine in engines.values():
        engine.reset()
    providers = {"p": {"url": f"http://127.0.0.1:{engines['provider'].port}", "key": "env:X", "models": {"far": "far"}}}
    yield start(plan({"m": ([engines["one"]], 50)}, providers=providers), keys=(key("alice"),), providers={"p": "old"})


def socket(gateway: Running) -> str:
    return f"{gateway.places.run}/admin.sock"


def live(gateway: Running, secrets: Secrets) -> dict[str, dict[str, str]]:
    """Every map that may be changed at run time: its path, and what it is to hold."""
    files = gateway_files(gateway.plan, secrets, gateway.places)
    return {f"{gateway.places.etc}/{name}": dict(f.entries) for name, f in files.items() if f.entries is not None}


def test_maps_in_memory_are_told_from_others(gateway: Running) -> None:
    for path, entries in live(gateway, gateway.secrets).items():
        assert map_digest(socket(gateway), path) == entries_digest(entries), path
        assert map_digest(socket(gateway), path) != entries_digest({**entries, "one": "more"})


def test_many_keys_and_an_odd_one_at_once(gateway: Running, engines: dict[str, EngineDouble]) -> None:
    """More than one command can carry, and signs that end a command elsewhere."""
    many = (Key(id=f"user-{n}", sha256=hashlib.sha256(str(n).encode()).hexdigest()) for n in range(3000))
    maps = live(gateway, Secrets((key("bob"), *many), {"p": ODD}))
    assert set_maps(socket(gateway), maps) == ""
    for path, entries in maps.items():
        assert map_digest(socket(gateway), path) == entries_digest(entries), path
    assert gateway.chat("far", "alice").status_code == 401
    assert gateway.chat("far", "bob").status_code == 200
    assert engines["provider"].seen[-1].headers["authorization"] == f"Bearer {ODD}"


def test_an_empty_map(gateway: Running) -> None:
    path = f"{gateway.places.etc}/maps/keys.map"
    assert set_maps(socket(gateway), {path: {}}) == ""
    assert map_digest(socket(gateway), path) == entries_digest({})
    assert gateway.chat("m", "alice").status_code == 401


def test_a_map_that_is_not_there_is_said(gateway: Running) -> None:
    assert set_maps(socket(gateway), {"/no/such.map": {"a": "b"}}).startswith("prepare map /no/such.map: Unknown map")


def test_portions() -> None:
    lines = ["x" * 1000] * 200
    found = portions(lines)
    assert "\n".join(found).split("\n") == lines
    assert all(len(text) <= PORTION for text in found)
    assert portions([]) == []


def test_who_does_not_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    nobody = str(tmp_path_factory.mktemp("gw") / "none.sock")
    assert (loaded(nobody, "X"), info(nobody), map_digest(nobody, "m")) == ("", {}, "")


def test_what_it_says_of_itself(gateway: Running) -> None:
    assert info(socket(gateway))["Version"].startswith("3.")
    assert loaded(socket(gateway), "NO_SUCH") == ""
