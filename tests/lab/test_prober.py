"""The prober as a service of a real host, beside its HAProxy: what it may do, what it may not, and how it lives."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.prober.pack import zipped
from inferfleet.prober.unit import CONFIG, GROUP, NAME, PROGRAM, unit

pytestmark = pytest.mark.lab

STATS = "/run/haproxy/inferfleet-stats.sock"
OUTBOX = "/var/lib/inferfleet-prober/restarts.jsonl"
HAPROXY = f"""\
global
    user haproxy
    group haproxy
    stats socket /run/haproxy/admin.sock mode 600 level admin
    stats socket {STATS} user haproxy group {GROUP} mode 660 level user
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    option contstats
frontend f
    bind 127.0.0.1:8080
    default_backend m
backend m
    default-server agent-check agent-inter 200ms
    server s 127.0.0.1:11434 maxconn 1 agent-addr 127.0.0.1 agent-port 9600 agent-send "m/s\\n"
"""
SERVER = {"backend": "m", "server": "s", "address": "127.0.0.1:11434", "engine": "ollama", "model": "tiny"}
LIMITS = {"idle_s": 0.5, "busy_s": 0.5, "restart_after_s": 1}
FILE = {"stats": [STATS], "outbox": OUTBOX, "limits": LIMITS, "servers": [SERVER]}
INSTALL = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q haproxy python3 curl"
# It takes connections and answers none: an engine that hangs.
LISTEN = 'import socket, time; s = socket.create_server(("", 11434)); time.sleep(900)'
MUTE = f"systemd-run -q --unit mute python3 -c '{LISTEN}'"


def put(host: LabHost, path: str, text: bytes) -> None:
    host.run(f"mkdir -p {path.rpartition('/')[0]} && base64 -d > {path}", stdin=base64.b64encode(text).decode())


@pytest.fixture(scope="module")
def gateway() -> Iterator[LabHost]:
    with Lab("tprober", [HostSpec("gw1")]) as lab:
        host = lab.hosts["gw1"]
        host.run(INSTALL)
        host.run(f"groupadd --system {GROUP}")
        put(host, "/etc/haproxy/haproxy.cfg", HAPROXY.encode())
        put(host, PROGRAM, zipped())
        put(
            host,
            CONFIG,
            json.dumps({"stats": [STATS], "outbox": OUTBOX, "limits": LIMITS, "servers": [SERVER]}).encode(),
        )
        put(host, f"/etc/systemd/system/{NAME}", unit(spec="abc").encode())
        host.run(f"systemctl daemon-reload && systemctl restart haproxy && systemctl start {NAME}")
        host.run(MUTE)
        yield host


def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.2)


def status(host: LabHost) -> dict[str, Any]:
    return dict(json.loads(host.run("curl -s --retry 5 --retry-connrefused http://127.0.0.1:9601/status").stdout))


def of_haproxy(host: LabHost) -> str:
    """The line of the server, as HAProxy's administrator sees it."""
    ask = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock')"
    return str(host.run(f"python3 -c \"{ask}; s.sendall(b'show stat -1 4 -1\\n'); print(s.makefile().read())\"").stdout)


def main_process(host: LabHost) -> str:
    return str(host.run(f"systemctl show -p MainPID --value {NAME}").stdout).strip()


def test_it_reads_the_counters_as_a_user_of_its_own(gateway: LabHost) -> None:
    until(lambda: status(gateway)["haproxy"][0]["error"] == "")
    assert status(gateway)["servers"][0]["in_flight"] == 0
    process = main_process(gateway)
    about = gateway.run(f"cat /proc/{process}/status").stdout
    assert "CapEff:\t0000000000000000" in about and "NoNewPrivs:\t1" in about and "Seccomp:\t2" in about
    assert int(about.partition("Uid:")[2].split()[0]) > 1000
    assert f"{GROUP}" in gateway.run(f"ps -o supgrp= -p {process}").stdout
    listening = gateway.run("ss -Hltn 'sport = 9600 or sport = 9601'").stdout.split()
    assert {word for word in listening if word.endswith((":9600", ":9601"))} == {"127.0.0.1:9600", "127.0.0.1:9601"}


def test_haproxy_is_told_and_a_restart_is_asked_for(gateway: LabHost) -> None:
    until(lambda: "down (hang: no byte after" in of_haproxy(gateway))
    until(lambda: gateway.run(f"cat {OUTBOX}", check=False).stdout)
    line = json.loads(gateway.run(f"head -1 {OUTBOX}").stdout)
    assert (line["restart"], line["address"]) == ("m/s", "127.0.0.1:11434")
    assert gateway.run(f"stat -L -c %a {OUTBOX}").stdout.strip() == "600"


def test_a_reload_of_haproxy_and_a_bad_file_change_nothing(gateway: LabHost) -> None:
    gateway.run("systemctl reload haproxy")
    until(lambda: status(gateway)["haproxy"][0]["error"] == "" and "down (hang" in of_haproxy(gateway))
    good = gateway.run(f"cat {CONFIG}").stdout
    put(gateway, CONFIG, b"{")
    gateway.run(f"systemctl reload {NAME}")
    until(lambda: "is not JSON" in status(gateway)["config"]["error"])
    assert len(status(gateway)["servers"]) == 1
    put(gateway, CONFIG, good.encode())
    gateway.run(f"systemctl reload {NAME}")
    until(lambda: status(gateway)["config"]["error"] == "")


def test_killed_it_comes_back_and_haproxy_keeps_the_state(gateway: LabHost) -> None:
    until(lambda: "down (hang" in of_haproxy(gateway))
    before = main_process(gateway)
    gateway.run(f"kill -9 {before}")
    assert ",DOWN (agent)," in of_haproxy(gateway)
    until(lambda: main_process(gateway) not in ("0", before))
    assert ",DOWN (agent)," in of_haproxy(gateway)
    until(lambda: status(gateway)["servers"][0]["up"] is False)


def test_it_stops_at_once(gateway: LabHost) -> None:
    began = time.monotonic()
    gateway.run(f"systemctl stop {NAME}")
    assert time.monotonic() - began < 5
    assert gateway.run(f"systemctl show -p Result --value {NAME}").stdout.strip() == "success"
