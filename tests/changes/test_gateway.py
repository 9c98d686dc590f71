"""A gateway's host: what each difference is told as, and what is done about it."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.gateway_host import (
    CERTIFICATE,
    ETC,
    LARGE,
    MAIN,
    USER,
    GatewayHost,
    entries_digest,
)
from inferfleet.gateways import gateway_host
from inferfleet.plan import make_plan
from inferfleet.prober import unit as prober
from inferfleet.spec import parse_fleet
from tests.changes.states import GONE, Spoil, State, spoiled
from tests.spec.inventories import host

HASH = hashlib.sha256(b"sk-alice").hexdigest()
KEYS = f'[[key]]\nid = "alice"\nsha256 = "{HASH}"\n'
VERSION = "3.0.11-1+deb13u5"
KEYS_MAP = f"{ETC}/maps/keys.map"


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> GatewayHost:
    base = tmp_path_factory.mktemp("project")
    return made(base, KEYS)


def made(base: Path, keys: str, **settings: Any) -> GatewayHost:
    """The host of a gateway with these keys, in front of one host with two cards."""
    (base / "secrets").mkdir(exist_ok=True)
    (base / "secrets" / "keys.toml").write_text(keys)
    gateway = {"keys": "file:secrets/keys.toml", **settings}
    plan = make_plan(
        parse_fleet(
            {
                "gpu1": host(gpus=["A30"] * 2, address="10.0.0.11"),
                "gw1": {"gateway": gateway, "address": "10.0.0.10"},
            }
        )
    )
    return gateway_host(plan.gateways[0], plan.nodes, base)


def state_of(declared: GatewayHost) -> State:
    """The answer of `remote/gateway_state.py` on a host where all is as declared."""
    program = hashlib.sha256(declared.prober.program_zip).hexdigest()
    config = hashlib.sha256(declared.prober.config_text.encode()).hexdigest()
    started = {one.unit: one.started_with for one in (*declared.processes, declared.prober)}
    return {
        "root": True,
        "host": {"distribution": "debian", "suite": "trixie", "arch": "amd64"},
        "apt": {"installed": {"haproxy": VERSION, "lua-cjson": "2.1"}, "held": ["haproxy"], "source": None},
        "candidates": [],
        "version": VERSION,
        "account": {"user": True, "group": True},
        "files": {
            f"{ETC}/{name}": {"sha256": one.sha256, "mode": one.mode, "owner": f"0:{USER}", "text": one.text}
            for name, one in declared.files.items()
        },
        "units": {
            unit: {"text": text, "active": "active", "enabled": "enabled", "stale": False,
                   "started_with": started[unit]}
            for unit, _, text in declared.unit_files
        },
        "haproxy": {
            one.unit: {
                "loaded": one.loaded,
                "version": VERSION,
                "maps": {path: entries_digest(entries) for path, entries in declared.live.items()},
                "certificate": declared.certificate_sha1,
            }
            for one in declared.processes
        },
        "prober": {
            "there": {"program": program, "config": config},
            "running": {"program": program, "config": config},
            "text": declared.prober.config_text,
        },
        "strangers": [],
    }  # fmt: skip


def compare(declared: GatewayHost, *spoils: Spoil) -> Changes:
    return changes.gateway(declared, spoiled(copy.deepcopy(state_of(declared)), *spoils))


def says(found: Changes) -> list[str]:
    return [str(effect) for effect in found.effects]


def how(found: Changes) -> list[str | None]:
    return [step["how"] for step in found.work["processes"]] + [found.work["prober"]["how"]]


def test_as_declared(declared: GatewayHost) -> None:
    assert says(compare(declared)) == []


def test_a_host_without_python3_gets_all(declared: GatewayHost) -> None:
    found = changes.gateway(declared, {})
    assert {"install haproxy: is missing", f"create user {USER}: is missing"} <= set(says(found))
    assert how(found) == ["start", "start", "start"]


REFUSED = [
    (("apt.installed.haproxy", "2.6.12-1+deb12u4"),
     "HAProxy 2.6.12 is installed there, the gateway needs 3.0; it is not upgraded by surprise: upgrade it, or take "
     "another host"),
    (("strangers", [{"port": 443, "address": "0.0.0.0", "program": "nginx"}]),
     "port 443 is taken there by nginx; stop it, or give the gateway another port"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "line"), REFUSED)
def test_refused(declared: GatewayHost, spoil: Spoil, line: str) -> None:
    assert says(compare(declared, spoil)) == [f"refuse this host: {line}"]


def test_sources_without_a_new_one_are_refused(declared: GatewayHost) -> None:
    found = compare(declared, ("apt.installed.haproxy", GONE), ("candidates", ["2.6.12-1+deb12u4"]))
    assert says(found) == [
        "refuse this host: the gateway needs HAProxy 3.0, its sources have 2.6.12; add a source that has it, such as "
        "the distribution's backports, or take Debian 13"
    ]
    backports = ["3.0.8-1~bpo12+1", "2.6.12-1+deb12u4"]
    assert says(compare(declared, ("apt.installed.haproxy", GONE), ("candidates", backports))) == [
        "install haproxy: is missing"
    ]


UNITS: list[tuple[Spoil, list[str], list[str | None]]] = [
    ((f"units|{MAIN}|active", "failed"), [f"start {MAIN}: is failed"], [None, "start", None]),
    ((f"units|{MAIN}|started_with", "x"),
     [f"restart {MAIN}: was started with other settings of its unit (cuts its requests)"], [None, "restart", None]),
    ((f"units|{LARGE}|enabled", "disabled"), [f"enable {LARGE}: does not start at boot"], [None, None, None]),
    ((f"units|{MAIN}|enabled", "masked"), [f"repair {MAIN}: is masked"], [None, None, None]),
    ((f"units|{MAIN}|stale", True), [f"repair {MAIN}: systemd has not read its file since it changed"],
     [None, None, None]),
    ((f"haproxy|{MAIN}|loaded", "other"),
     [f"reload {MAIN}: runs with another configuration (streams end on the process that began them)"],
     [None, "reload", None]),
    ((f"haproxy|{LARGE}|version", "3.0.10"), [f"reload {LARGE}: is HAProxy 3.0.10, installed is {VERSION}"],
     ["reload", None, None]),
    (("prober|running|config", "old"), [f"reload {prober.NAME}: runs with another configuration"],
     [None, None, "reload"]),
    (("prober|running|program", "old"), [f"restart {prober.NAME}: runs another version, or does not answer"],
     [None, None, "restart"]),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected", "steps"), UNITS)
def test_units(declared: GatewayHost, spoil: Spoil, expected: list[str], steps: list[str | None]) -> None:
    found = compare(declared, spoil)
    assert (says(found), how(found)) == (expected, steps)


FILES: list[tuple[Spoil, list[str]]] = [
    ((f"files|{KEYS_MAP}|sha256", "x"),
     [f"write {KEYS_MAP}: differs from what is declared (taken up without a reload)"]),
    ((f"files|{KEYS_MAP}|mode", 0o644), [f"write {KEYS_MAP}: owner or mode is wrong (taken up without a reload)"]),
    ((f"files|{ETC}/large.cfg", GONE), [f"write {ETC}/large.cfg: is missing"]),
    ((f"files|{ETC}/tls/old.pem", {"sha256": "", "mode": 0, "owner": "", "text": None}),
     [f"remove {ETC}/tls/old.pem: is no longer declared"]),
    ((f"haproxy|{MAIN}|maps|{KEYS_MAP}", "x"),
     [f"repair {KEYS_MAP}: the gateway has another in memory (no reload)"]),
    ((f"haproxy|{MAIN}|certificate", "x"),
     [f"repair {ETC}/{CERTIFICATE}: the gateway has another in memory (no reload)"]),
    (("account.user", False), [f"create user {USER}: is missing"]),
    (("apt.held", []), ["repair haproxy: is not held, an upgrade would take it along"]),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected"), FILES)
def test_files_and_memory(declared: GatewayHost, spoil: Spoil, expected: list[str]) -> None:
    found = compare(declared, spoil)
    assert (says(found), how(found)) == (expected, [None, None, None])


def test_another_key_is_no_reload(tmp_path: Path) -> None:
    before = made(tmp_path, KEYS)
    after = made(tmp_path, KEYS + KEYS.replace("alice", "bob").replace(HASH, "0" * 64))
    found = changes.gateway(after, state_of(before))
    assert how(found) == [None, None, None]
    assert set(found.work["maps"]) == {f"{ETC}/maps/{name}.map" for name in ("keys", "sets", "rpm", "concurrency")}
    assert all("without a reload" in line for line in says(found))
    assert found.files == ()


def test_another_setting_is_a_reload(tmp_path: Path) -> None:
    found = changes.gateway(made(tmp_path, KEYS, queue=7), state_of(made(tmp_path, KEYS)))
    assert how(found) == [None, "reload", None]
    assert [change.path for change in found.files] == [f"{ETC}/haproxy.cfg"]


def test_no_secret_is_shown(declared: GatewayHost) -> None:
    found = changes.gateway(declared, {})
    shown = "".join(str(change) for change in found.files) + "".join(says(found)) + str(declared)
    assert HASH not in shown
    assert "PRIVATE KEY" not in shown
    assert HASH in str(found.work) and HASH not in str(declared.question)


def test_one_that_is_no_longer_declared() -> None:
    found = changes.gateway_gone({"root": True, "gateway": [MAIN]})
    assert says(found) == [f"remove {MAIN}: is no longer declared (cuts its requests)"]
    assert says(changes.gateway_gone({"gateway": []})) == says(changes.gateway_gone({})) == []
