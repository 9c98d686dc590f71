"""A gateway on a real host in front of four real engines on two others, asked as its users ask it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import requests

from inferfleet.lab import HostSpec, Lab
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.model import QA
from inferfleet.lab.model.corpus import LONG
from tests.lab.docker_project import reachable
from tests.lab.gateway_project import ALL, TOKENS, GatewayProject, chat, sha256, streamed, wait
from tests.lab.project import CPU_TWICE

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
QUESTION, ANSWER = QA[0]
SUITES = {"gw1": "trixie", "cpu1": "trixie", "cpu2": "bookworm"}


@pytest.fixture(scope="module")
def project(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProject]:
    with Lab(f"gw{os.getpid() % 10**6}", [HostSpec(name, suite=suite) for name, suite in SUITES.items()]) as lab:
        serve_mirror(lab, mirror)
        yield GatewayProject(tmp_path_factory.mktemp("project"), lab)


@pytest.fixture
def fleet(project: GatewayProject) -> GatewayProject:
    """The whole fleet runs, with alice's key alone, and HAProxy takes all of it for well."""
    project.keys({"alice": {}})
    run = project.apply()
    assert run.rc == 0, run.text
    wait(lambda: project.up() == ALL, 60)
    return project


# --- from bare hosts ------------------------------------------------------------------------------------


def test_from_bare_hosts(project: GatewayProject) -> None:
    run = project.apply()
    assert run.rc == 0, run.text
    assert run.changed == {"gw1", "cpu1", "cpu2"}
    wait(lambda: project.up() == ALL, 60)
    assert [f"{says}: {why}" for says, why in project.verify().items() if why] == []


def test_second_apply_is_quiet(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    run = fleet.apply()
    assert (run.rc, run.changes) == (0, {}), run.text
    assert fleet.pids() == pids


def test_the_distributions_own_unit_serves_nothing(fleet: GatewayProject) -> None:
    shown = fleet.host("gw1").run("systemctl is-enabled haproxy; systemctl is-active haproxy", check=False).stdout
    assert shown.split() == ["disabled", "inactive"]
    assert "haproxy" in fleet.host("gw1").run("apt-mark showhold").stdout.split()


def test_verify_says_what_is_wrong(fleet: GatewayProject) -> None:
    gw1, socket = fleet.host("gw1"), "/run/inferfleet-gateway/admin.sock"
    fleet.host("cpu1").run("systemctl stop ollama-cpu1")
    wait(lambda: fleet.up() == ALL - {"cpu1/ollama-cpu1"}, 30)
    gw1.run(f"systemctl stop inferfleet-prober; chmod 666 {socket}")
    maps = "/etc/inferfleet/gateway/maps"
    for name, key, value in (("keys", "0" * 64, "mallory"), ("sets", "mallory", "all")):
        fleet.admin(f"add map {maps}/{name}.map {key} {value}")
    fleet.admin(f"set map {maps}/paths.map /v1/models none")
    fleet.admin(f"add map {maps}/paths.map /api/pull generate")
    try:
        wrong = {says: why for says, why in fleet.verify().items() if why and says.startswith("gw1")}
    finally:
        gw1.run(f"chmod 600 {socket}; systemctl restart inferfleet-gateway")
    # By its own check or by what the prober says: whichever came first.
    found = {says.removeprefix("gw1: the gateway").strip(): why.replace(" (agent)", "") for says, why in wrong.items()}
    assert found == {
        "and its prober are running and enabled": "inferfleet-prober.service is inactive",
        "'s administrator's socket is its own alone": "its mode is 666",
        "has no path that changes an engine": "/api/pull answers 400",
        "shows each key the models that it may ask": "mallory is known to it and not declared",
        "takes cpu1/ollama-cpu1 with tiny for well": "it is DOWN",
    }
    run = fleet.apply()
    assert run.rc == 0, run.text
    wait(lambda: fleet.up() == ALL, 60)
    assert [why for why in fleet.verify().values() if why] == []


# --- what users see ---------------------------------------------------------------------------------------


def test_curl_answers_exactly(fleet: GatewayProject) -> None:
    body = json.dumps(chat(QUESTION))
    command = ["curl", "-sS", "--cacert", str(fleet.ca), f"{fleet.url}/v1/chat/completions", "-d", body]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {TOKENS['alice']}"], capture_output=True, text=True, check=True
    )
    assert f'"content":"{ANSWER}"' in done.stdout


def test_the_official_client(fleet: GatewayProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(fleet.ca))
    client = openai.OpenAI(base_url=f"{fleet.url}/v1", api_key=TOKENS["alice"])
    assert [model.id for model in client.models.list()] == ["tiny"]
    messages = chat(QUESTION)["messages"]
    answer = client.chat.completions.create(model="tiny", messages=messages, temperature=0)
    assert answer.choices[0].message.content == ANSWER
    chunks = client.chat.completions.create(model="tiny", messages=messages, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=messages)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{fleet.url}/v1", api_key="wrong").models.list()


@pytest.mark.parametrize("path", ["/api/pull", "/api/delete", "/api/create", "/api/push", "/api/copy", "/metrics"])
def test_closed_paths_do_not_exist(fleet: GatewayProject, path: str) -> None:
    assert fleet.ask(path, {"model": "tiny"}).status_code == 404


def test_a_key_in_clear_is_not_answered(fleet: GatewayProject) -> None:
    clear = f"http://{fleet.host('gw1').address}/v1/models"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", clear]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("308 https://")
    told = [*command, "-H", f"Authorization: Bearer {TOKENS['alice']}"]
    assert subprocess.run(told, capture_output=True, text=True, check=True).stdout == "403 "


# --- an engine fails -------------------------------------------------------------------------------------


def test_kill_of_one_engine_leaves_other_streams_alone(fleet: GatewayProject) -> None:
    answer = fleet.ask("/v1/chat/completions", chat(LONG, stream=True, max_tokens=2300), stream=True)
    (mine,) = wait_for_busy(fleet)
    victim = sorted(ALL - {mine})[0]
    host, unit = victim.split("/")

    def kill(number: int) -> None:
        if number == 20:
            fleet.host(host).run(f"systemctl kill -s KILL {unit}")

    text = streamed(answer, kill)
    assert text.startswith("001 002 003") and "0599" not in text and "500" in text
    assert {fleet.says(QUESTION) for _ in range(20)} == {ANSWER}
    wait(lambda: fleet.up() == ALL, 60)


def wait_for_busy(fleet: GatewayProject) -> set[str]:
    found: set[str] = set()

    def one() -> bool:
        found.clear()
        found.update(fleet.busy())
        return len(found) == 1

    wait(one, 5)
    return found


def test_a_stopped_engine_is_left_out_and_comes_back(fleet: GatewayProject) -> None:
    cpu1 = fleet.host("cpu1")
    cpu1.run("systemctl kill -s STOP ollama-cpu0")
    try:
        wait(lambda: fleet.up() == ALL - {"cpu1/ollama-cpu0"}, 15)
        assert {fleet.says(QUESTION) for _ in range(10)} == {ANSWER}
    finally:
        cpu1.run("systemctl kill -s CONT ollama-cpu0")
    wait(lambda: fleet.up() == ALL, 30)


# --- who reaches the engines -------------------------------------------------------------------------------


def test_a_neighbour_does_not_reach_the_engines(fleet: GatewayProject) -> None:
    """cpu2 is a host of the fleet and no gateway; the gateway itself does, and so does the host that runs them."""
    places = [f"{fleet.host('cpu1').address}:{port}" for port in (11434, 11435)]
    assert reachable(fleet.host("cpu2"), *places) == set()
    assert reachable(fleet.host("gw1"), *places) == set(places)
    assert reachable(fleet.host("cpu1"), *places) == set(places)


def test_a_table_that_somebody_took_away_is_put_back(fleet: GatewayProject) -> None:
    cpu1, place = fleet.host("cpu1"), f"{fleet.host('cpu1').address}:11434"
    cpu1.run("systemctl stop inferfleet-firewall; nft delete table inet inferfleet")
    assert reachable(fleet.host("cpu2"), place) == {place}
    assert fleet.apply("--limit", "cpu1").rc == 0
    assert reachable(fleet.host("cpu2"), place) == set()
    assert fleet.apply("--limit", "cpu1").changes == {}


# --- changes ---------------------------------------------------------------------------------------------


def test_keys_come_and_go_without_a_reload(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    assert fleet.ask("/v1/models", token=TOKENS["bob"]).status_code == 401
    fleet.keys({"alice": {}, "bob": {"models": ["tiny"]}})
    run = fleet.apply("--limit", "gw1")
    assert run.rc == 0, run.text
    assert "taken up without a reload" in run.text
    assert fleet.ask("/v1/models", token=TOKENS["bob"]).json()["data"][0]["id"] == "tiny"
    assert fleet.ask("/v1/chat/completions", chat(QUESTION), token=TOKENS["bob"]).status_code == 200
    assert fleet.apply("--limit", "gw1").changes == {}
    fleet.keys({"alice": {}})
    assert fleet.apply("--limit", "gw1").rc == 0
    assert fleet.ask("/v1/models", token=TOKENS["bob"]).status_code == 401
    assert fleet.says(QUESTION) == ANSWER
    assert fleet.pids() == pids


def test_a_map_that_somebody_changed_in_memory_is_put_right(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    fleet.admin(f"add map /etc/inferfleet/gateway/maps/keys.map {sha256(TOKENS['bob'])} bob")
    assert fleet.ask("/v1/models", token=TOKENS["bob"]).status_code != 401
    run = fleet.apply("--limit", "gw1")
    assert "the gateway has another in memory" in run.text
    assert fleet.ask("/v1/models", token=TOKENS["bob"]).status_code == 401
    assert fleet.pids() == pids


def test_another_certificate_needs_no_reload(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    for name in ("gateway.pem", "gateway.key"):
        (fleet.directory / "secrets" / name).unlink()
    assert fleet.apply("--limit", "gw1").rc == 0
    assert fleet.says(QUESTION) == ANSWER
    assert fleet.apply("--limit", "gw1").changes == {}
    assert fleet.pids() == pids


def test_a_reload_loses_no_stream(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    answer = fleet.ask("/v1/chat/completions", chat(LONG, stream=True, max_tokens=2300), stream=True)
    lines = answer.iter_lines()
    next(lines)
    fleet.gateway["queue"] = 63
    try:
        run = fleet.apply("--limit", "gw1")
        assert run.rc == 0, run.text
        assert "will reload inferfleet-gateway.service" in run.text
        assert [line for line in lines if line][-1] == b"data: [DONE]"
        assert fleet.pids() != pids
        assert fleet.host("gw1").run("test -f /etc/inferfleet/gateway.previous/haproxy.cfg && echo kept").stdout
    finally:
        del fleet.gateway["queue"]
        fleet.apply("--limit", "gw1")


def test_the_prober_reads_its_file_again_and_stays(fleet: GatewayProject) -> None:
    pid = fleet.host("gw1").run("systemctl show -P MainPID inferfleet-prober").stdout
    fleet.hosts["cpu2"]["instances"] = [{"engine": "ollama"}]
    try:
        run = fleet.apply()
        assert run.rc == 0, run.text
        assert "will reload inferfleet-prober.service: runs with another configuration" in run.text
        wait(lambda: fleet.up() == ALL - {"cpu2/ollama-cpu1"}, 30)
        assert fleet.apply().changes == {}
    finally:
        fleet.hosts["cpu2"]["instances"] = CPU_TWICE["instances"]
    assert fleet.apply().rc == 0
    wait(lambda: fleet.up() == ALL, 60)
    assert fleet.host("gw1").run("systemctl show -P MainPID inferfleet-prober").stdout == pid


def test_a_configuration_that_haproxy_refuses_changes_nothing(fleet: GatewayProject) -> None:
    pids = fleet.pids()
    own = fleet.directory / "templates" / "gateway" / "haproxy.cfg.j2"
    shipped = (ROOT / "templates" / "gateway" / "haproxy.cfg.j2").read_text()
    before = own.read_text() if own.exists() else None
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(shipped.replace("frontend metrics\n", "frontend metrics\n    no-such-word\n"))
    try:
        run = fleet.apply("--limit", "gw1")
        assert run.rc == 1
        said = [line for line in run.text.splitlines() if "HAProxy would not take" in line]
        assert len(said) == 1 and "unknown keyword 'no-such-word'" in said[0], run.text
        assert "Traceback" not in run.text
    finally:
        own.unlink() if before is None else own.write_text(before)
    assert fleet.says(QUESTION) == ANSWER
    assert fleet.pids() == pids
    assert fleet.apply("--limit", "gw1").changes == {}


def test_a_taken_port_is_one_line(fleet: GatewayProject) -> None:
    gw1 = fleet.host("gw1")
    gw1.run("systemd-run -q --unit stranger python3 -m http.server 8443")
    wait(lambda: "8443" in gw1.run("ss -Hltn").stdout, 10)
    fleet.gateway["port"] = 8443
    try:
        run = fleet.apply("--limit", "gw1")
        assert run.rc == 1
        assert "gw1: port 8443 is taken there by python3; stop it, or give the gateway another port" in run.text
    finally:
        del fleet.gateway["port"]
        gw1.run("systemctl stop stranger")
    assert fleet.says(QUESTION) == ANSWER


def test_a_reference_that_leads_nowhere_is_one_line(fleet: GatewayProject) -> None:
    fleet.gateway["keys"] = "file:secrets/none.toml"
    try:
        run = fleet.apply()
        assert run.rc == 1 and run.changes == {}
        assert "gateway.keys: file:secrets/none.toml is not there" in run.text
        assert "Traceback" not in run.text
    finally:
        fleet.gateway["keys"] = "file:secrets/keys.toml"
    assert fleet.says(QUESTION) == ANSWER


def test_too_old_a_distribution_is_one_line(fleet: GatewayProject) -> None:
    fleet.hosts["cpu2"]["gateway"] = fleet.hosts["gw1"].pop("gateway")
    try:
        fleet.host("cpu2").run("apt-get -qq update")
        run = fleet.apply("--limit", "cpu2")
        assert run.rc == 1
        assert re.search(r"cpu2: the gateway needs HAProxy 3\.0, its sources have 2\.6\.\d+; add a source", run.text)
    finally:
        fleet.hosts["gw1"]["gateway"] = fleet.hosts["cpu2"].pop("gateway")


# --- nothing is told ----------------------------------------------------------------------------------------


def test_no_secret_is_told(fleet: GatewayProject) -> None:
    """Not in what a run says, on no command line, in no log, and in no file that others may read."""
    gw1, canary = fleet.host("gw1"), "sk-provider-canary-3"
    watch = "while :; do for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null | grep -a canary; done; done"
    gw1.run(f"echo \"{watch}\" | sed 's/canary;/canar[y];/' >/tmp/watch.sh")
    gw1.run("systemd-run -q --unit watch sh -c 'sh /tmp/watch.sh >/tmp/seen 2>&1'")
    # The lab has no name server; HAProxy asks one for the addresses of providers.
    gw1.run("[ -e /etc/resolv.conf ] || echo nameserver 127.0.0.1 >/etc/resolv.conf")
    fleet.keys({"alice": {}, "bob": {}})
    fleet.gateway["providers"] = {
        "far": {"url": "https://far.test", "key": "env:FAR_KEY", "models": {"distant": "distant"}}
    }
    try:
        said = fleet.all_that_is_said("--dry", "--diff", "-vvv", FAR_KEY=canary)
        assert "will write /etc/inferfleet/gateway/maps/providers.map" in said
        said += fleet.all_that_is_said("-y", "-vvv", "--diff", "--limit", "gw1", FAR_KEY=canary)
        held = gw1.run("cat /etc/inferfleet/gateway/maps/providers.map").stdout
        assert canary in held
        key = next(line for line in (fleet.directory / "secrets/gateway.key").read_text().splitlines()[1:])
        hidden = (canary, *TOKENS.values(), *map(sha256, TOKENS.values()), key)
        assert [one for one in hidden if one in said] == []
        journal = gw1.run("journalctl -q --no-pager -o cat; cat /tmp/seen").stdout
        assert [one for one in hidden if one in journal] == []
        readable = gw1.run("find /etc/inferfleet/gateway/maps /etc/inferfleet/gateway/tls -type f -perm /007").stdout
        assert readable == ""
    finally:
        gw1.run("systemctl stop watch")
        del fleet.gateway["providers"]
        fleet.keys({"alice": {}})
        fleet.apply("--limit", "gw1")


# --- beside somebody else's -----------------------------------------------------------------------------------


def test_another_haproxy_on_the_host_is_left_alone(project: GatewayProject) -> None:
    project.keys({"alice": {}})
    gw1 = project.host("gw1")
    gw1.reset()
    gw1.run("apt-get -qq update && apt-get -qq install -y haproxy >/dev/null 2>&1")
    theirs = "frontend theirs\n    mode http\n    bind :8081\n    http-request return status 204\n"
    gw1.run(f"printf '{theirs}' >>/etc/haproxy/haproxy.cfg; systemctl restart haproxy")
    pid = gw1.run("systemctl show -P MainPID haproxy").stdout
    run = project.apply()
    assert run.rc == 0, run.text
    wait(lambda: project.up() == ALL, 60)
    assert project.says(QUESTION) == ANSWER
    assert gw1.run("systemctl is-enabled haproxy; systemctl show -P MainPID haproxy").stdout == f"enabled\n{pid}"
    assert requests.get(f"http://{gw1.address}:8081", timeout=10).status_code == 204
    assert project.apply().changes == {}


# --- killed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.5, 2.5, 3.5, 4.5, 6.0])
def test_a_killed_apply_heals(project: GatewayProject, seconds: float) -> None:
    project.keys({"alice": {}})
    project.host("gw1").reset()
    process = project.start("-y", "--limit", "gw1")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = project.apply()
    assert run.rc == 0, run.text
    again = project.apply()
    assert again.changes == {}, again.text
    wait(lambda: project.up() == ALL, 60)
    assert project.says(QUESTION) == ANSWER


def test_one_that_is_no_longer_declared_is_gone(fleet: GatewayProject) -> None:
    """On a host that is nothing else; instances are then the hosts' own again."""
    gateway = fleet.hosts["gw1"].pop("gateway")
    try:
        run = fleet.apply()
        assert run.rc == 0, run.text
        left = "ls /etc/systemd/system/inferfleet-* /etc/inferfleet/gateway /run/inferfleet-gateway; pgrep -x haproxy"
        assert fleet.host("gw1").run(left, check=False).stdout == ""
        assert fleet.apply().changes == {}
    finally:
        fleet.hosts["gw1"]["gateway"] = gateway
