"""The files as they are, for a few plans; HAProxy itself likes each of them."""

from pathlib import Path
from typing import Any

import pytest

from inferfleet.gateway import Secrets, gateway_files
from inferfleet.plan import GatewayPlan, make_plan
from inferfleet.spec import parse_fleet
from tests.gateway.running import Running, key
from tests.gateway.tls import Authority
from tests.spec.inventories import OLLAMA, host

GOLDEN = Path(__file__).parent / "golden"
OPENAI: dict[str, Any] = {"url": "https://api.openai.com", "key": "env:OPENAI_API_KEY"}
OTHER = {"url": "https://llm.example.net:8443/api/v2", "key": "file:k", "ca": "file:ca.pem", "models": {"big": "big-1"}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "private": {"tls": False, "listen": "fd00::1", "queue": 0, "max_body": "64m"},
    "chains": {
        "providers": {"openai": OPENAI, "other": OTHER},
        "chains": {
            "gpt-4o": ["openai:gpt-4o", "llama2:13b"],
            "smart": ["openai:gpt-5", "other:big-1", "llama2:13b", "team/chat:v1"],
            "llama2:13b": ["llama2:13b", "openai:gpt-5-nano"],
        },
    },
}


def planned(name: str) -> GatewayPlan:
    models = {
        "llama2:13b": {"engine": "ollama", "aliases": ["gpt-4o"]},
        "team/chat:v1": {"engine": "ollama", "vram_gib": 1, "replicas": 1},
    }
    engines = {"ollama": {**OLLAMA, "parallel": 4}}
    hosts: dict[str, Any] = {
        one: host(gpus=["A30"] * 2, models=models, engines=engines, address=address)
        for one, address in (("gpu1", "10.0.0.11"), ("gpu2", "fd00::12"))
    }
    hosts["gw1"] = {"address": "10.0.0.10", "gateway": {"keys": "file:keys.toml", **CASES[name]}}
    (plan,) = make_plan(parse_fleet(hosts)).gateways
    return plan


def secrets(plan: GatewayPlan, directory: Path) -> Secrets:
    authority = Authority(directory)
    authority.server("gw1")
    pem = (directory / "gateway.pem").read_text() + (directory / "gateway.key").read_text()
    keys = (key("alice"), key("bob", models=["gpt-4o"], rpm=60, concurrency=4))
    providers = {name: f"sk-{name}" for name in plan.providers}
    certificate = pem if plan.settings.tls else None
    return Secrets(keys, providers, certificate, {"other": authority.pem} if "other" in providers else {})


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, tmp_path: Path) -> None:
    plan = planned(name)
    files = gateway_files(plan, secrets(plan, tmp_path))
    written = {path: file.text for path, file in files.items() if path.endswith(".cfg") or path.startswith("maps/")}
    kept = {str(path.relative_to(GOLDEN / name)): path for path in (GOLDEN / name).rglob("*") if path.is_file()}
    assert set(written) == set(kept)
    for path, text in written.items():
        assert text == kept[path].read_text(), path


@pytest.mark.parametrize("name", CASES)
def test_haproxy_likes_it(name: str, haproxy: Path, tmp_path: Path) -> None:
    plan = planned(name)
    one = Running(plan, secrets(plan, tmp_path / "ca"), haproxy, tmp_path)
    one.write()
    assert one.check() == ""


@pytest.mark.parametrize("name", CASES)
def test_a_second_time_the_same(name: str, tmp_path: Path) -> None:
    plan = planned(name)
    assert gateway_files(plan, secrets(plan, tmp_path)) == gateway_files(planned(name), secrets(plan, tmp_path))


def test_secrets_are_where_they_must_be_and_nowhere_else(tmp_path: Path) -> None:
    plan = planned("chains")
    files = gateway_files(plan, secrets(plan, tmp_path))
    for path, file in files.items():
        holds = "sk-openai" in file.text or "PRIVATE KEY" in file.text
        assert holds == (path in ("maps/providers.map", "tls/gateway.pem")), path
        assert file.mode & 0o077 == 0 if file.secret else file.mode in (0o600, 0o640, 0o644)
        assert file.text[:200] not in repr(file)
    assert {path for path, file in files.items() if file.secret} == {
        "maps/keys.map", "maps/providers.map", "tls/gateway.pem",
    }  # fmt: skip
    assert "k-alice" not in "".join(file.text for file in files.values())
    assert "sk-" not in repr(secrets(plan, tmp_path))


def test_what_may_change_without_a_reload(tmp_path: Path) -> None:
    """A key more touches maps alone, and only those that HAProxy can be told anew."""
    plan = planned("chains")
    before, given = {}, secrets(plan, tmp_path)
    before = gateway_files(plan, given)
    more = Secrets((*given.keys, key("carol", models=["smart"])), given.providers, given.certificate, given.authorities)
    after = gateway_files(plan, more)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {f"maps/{name}.map" for name in ("keys", "sets", "rpm", "concurrency", "allow", "models", "tags")}
    for path in changed:
        entries, old = after[path].entries, before[path].entries
        assert entries is not None and old is not None
        assert set(old) <= set(entries)


def test_sockets_have_short_paths() -> None:
    """A socket's path has room for 107 characters."""
    files = gateway_files(planned("chains"), Secrets(()))
    sockets = [word for name in ("haproxy.cfg", "large.cfg") for word in files[name].text.split() if "unix@" in word]
    assert len(sockets) > 20
    assert max(map(len, sockets)) < 80
