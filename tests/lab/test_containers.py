"""One container for each card, from a bare host: what the issue's own case promises, on real Docker and systemd."""

import json
import shlex
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from inferfleet.lab import LabHost
from tests.lab.api import call
from tests.lab.project import Project
from tests.lab.trees import digest

pytestmark = pytest.mark.lab

NAMES = [f"ollama-gpu{card}" for card in range(4)]
ANSWER = "I am a small model that tests the fleet."
UNIT = "/etc/systemd/system/ollama-gpu1.service"
ENVIRONMENT = "/etc/inferfleet/containers/ollama-gpu1.env"
ONLY_ROOT = "stat -c '%a %U' /etc/inferfleet/containers/*"
CANARY = "canary-3f7b1c"


def containers(host: LabHost) -> dict[str, str]:
    """Name -> ID of the containers that run."""
    listed = host.run("docker ps --no-trunc --format '{{.Names}} {{.ID}}'").stdout.split("\n")
    return dict(line.split(" ") for line in listed if line)


def wrong(fleet: Project) -> dict[str, str]:
    return {check: why for check, why in fleet.verify().items() if why}


@pytest.fixture(scope="module")
def fleet(cards: Project) -> Project:
    """As declared, from bare."""
    run = cards.apply()
    assert run.rc == 0, run.text
    return cards


@pytest.fixture
def spoiled(fleet: Project) -> Iterator[Project]:
    """The declared fleet for a test that declares another; put right afterwards."""
    hosts, data = deepcopy(fleet.hosts), deepcopy(fleet.data)
    yield fleet
    fleet.hosts, fleet.data = hosts, data
    run = fleet.apply()
    assert run.rc == 0, run.text


def test_every_check_holds_and_a_second_run_changes_nothing(fleet: Project) -> None:
    checks = fleet.verify()
    assert [f"gpu1: {name} sees card {card} and no other" in checks for card, name in enumerate(NAMES)] == [True] * 4
    assert {check: why for check, why in checks.items() if why} == {}
    before = digest(fleet.host("gpu1"))
    again = fleet.apply()
    assert again.rc == 0 and again.changes == {}, again.text
    assert fleet.dry().changes == {}
    assert digest(fleet.host("gpu1")) == before


def test_a_run_without_changes_asks_six_questions_however_many_containers(fleet: Project, tmp_path: Path) -> None:
    report = tmp_path / "trips.json"
    run = fleet.pyinfra("-y", INFERFLEET_ROUND_TRIPS=str(report))
    assert run.changes == {}, run.text
    assert json.loads(report.read_text())["gpu1"]["total"] <= 6


def test_as_people_use_it(fleet: Project) -> None:
    """`docker exec`, `docker logs`, `systemctl` and `journalctl` know the instance by one name."""
    host = fleet.host("gpu1")
    assert ANSWER in host.run("docker exec ollama-gpu2 ollama run tiny 'What are you?'").stdout
    assert "GET" in host.run("docker logs ollama-gpu2 2>&1 | tail -n 50").stdout
    assert "GET" in host.run("journalctl -u ollama-gpu2 -o cat -n 50").stdout
    assert host.run("systemctl is-active ollama-gpu2").stdout == "active\n"
    assert set(host.run(ONLY_ROOT).stdout.splitlines()) == {"600 root"}
    assert host.run("docker exec ollama-gpu2 nvidia-smi -L").stdout.count("GPU-") == 1


def test_daemon_reload_takes_no_card_away(fleet: Project) -> None:
    """The known way to lose GPUs (NVIDIA/nvidia-container-toolkit#48)."""
    fleet.host("gpu1").run("systemctl daemon-reload")
    assert wrong(fleet) == {}


def test_restart_of_one_leaves_the_others_alone(fleet: Project) -> None:
    """A client for each instance counts what fails while one of four starts again."""
    host, over = fleet.host("gpu1"), threading.Event()
    failures: dict[int, int] = {}
    answers: dict[int, int] = {}
    body = {"model": "tiny", "prompt": "ping", "stream": False}

    def client(port: int) -> None:
        while not over.is_set():
            done = host.run(call("generate", body, port=port), check=False)
            good = done.returncode == 0 and json.loads(done.stdout)["done"]
            (answers if good else failures)[port] = (answers if good else failures).get(port, 0) + 1

    clients = [threading.Thread(target=client, args=(port,)) for port in range(11434, 11438)]
    for each in clients:
        each.start()
    time.sleep(1)
    host.run("systemctl restart ollama-gpu1")
    time.sleep(2)
    over.set()
    for each in clients:
        each.join()
    assert set(failures) <= {11435}
    assert all(answers.get(port, 0) > 2 for port in (11434, 11436, 11437))


def test_one_setting_of_one_instance_recreates_just_that(spoiled: Project) -> None:
    before = containers(spoiled.host("gpu1"))
    entries: list[dict[str, Any]] = [{"engine": "ollama", "gpus": [card]} for card in range(4)]
    entries[2]["port"] = 11500
    spoiled.hosts["gpu1"]["instances"] = entries
    dry = spoiled.dry()
    assert "will restart ollama-gpu2: " in dry.text and "will restart ollama-gpu1" not in dry.text
    run = spoiled.apply()
    assert run.rc == 0, run.text
    after = containers(spoiled.host("gpu1"))
    assert [name for name in NAMES if before[name] != after[name]] == ["ollama-gpu2"]
    assert wrong(spoiled) == {}


def test_a_secret_stays_where_it_belongs(spoiled: Project) -> None:
    spoiled.data["engines"]["ollama"]["environment"]["SITE_KEY"] = CANARY
    host = spoiled.host("gpu1")
    dry = spoiled.dry()
    assert "SITE_KEY" in dry.text and CANARY not in dry.text
    # What every user of the host may read while it is done.
    looks = "while sleep 0.1; do cat /proc/[0-9]*/cmdline 2>/dev/null; done"
    watch = f"{looks} | grep --line-buffered -azo '{CANARY[:-1]}[c]' >/tmp/seen"
    host.run(f"systemd-run -q --unit watch sh -c {shlex.quote(watch)}")
    run = spoiled.apply()
    host.run("systemctl stop watch")
    assert run.rc == 0 and CANARY not in run.text
    assert host.run("cat /tmp/seen").stdout == ""
    assert CANARY in host.run(f"cat {ENVIRONMENT}").stdout
    assert CANARY not in host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; systemctl cat 'ollama-*'").stdout


def test_each_has_its_model_again_before_the_next_is_stopped(spoiled: Project) -> None:
    spoiled.data["engines"]["ollama"]["parallel"] = 2
    dry = spoiled.dry().text
    assert "- OLLAMA_NUM_PARALLEL=4" in dry and "+ OLLAMA_NUM_PARALLEL=2" in dry
    run = spoiled.apply()
    assert run.rc == 0, run.text
    said = [line.rpartition("] ")[2] for line in run.text.splitlines()]
    steps = [line for line in said if " answers at " in line or " is in memory at " in line]
    assert [" is in memory at " in step for step in steps] == [False, True] * 4, run.text
    assert "ollama models" not in run.text and wrong(spoiled) == {}


# What is done to the host -> the words in which the dry run says it.
DRIFT = {
    "unit edited": (f"sed -i s/max-file=3/max-file=9/ {UNIT}", "ollama-gpu1.service: differs from what is declared"),
    "unit removed": (f"rm {UNIT}; systemctl daemon-reload", "ollama-gpu1.service: is missing"),
    "environment edited": (
        f"sed -i s/NUM_PARALLEL=4/NUM_PARALLEL=1/ {ENVIRONMENT}", "ollama-gpu1.env: differs from what is declared",
    ),
    "environment edited and restarted": (
        f"sed -i s/NUM_PARALLEL=4/NUM_PARALLEL=1/ {ENVIRONMENT}; systemctl restart ollama-gpu1",
        "ollama-gpu1.env: differs from what is declared",
    ),
    "unit edited, restarted and put back": (
        f"cp -a {UNIT} /tmp/u; sed -i s/max-file=3/max-file=9/ {UNIT}; systemctl daemon-reload;"
        f" systemctl restart ollama-gpu1; cp -a /tmp/u {UNIT}; systemctl daemon-reload",
        "was started with max-file=9 where max-file=3 is declared",
    ),
    "a variable more in the environment": (
        f"echo OLLAMA_DEBUG=1 >>{ENVIRONMENT}; systemctl restart ollama-gpu1;"
        " until docker inspect ollama-gpu1 2>&1 | grep -q OLLAMA_DEBUG; do sleep 0.1; done;"
        f" sed -i '$d' {ENVIRONMENT}",
        "restart ollama-gpu1: was started with OLLAMA_DEBUG, which is not declared",
    ),
    "environment opened to all": (f"chmod 644 {ENVIRONMENT}", "ollama-gpu1.env: owner or mode is wrong"),
    "stopped": ("systemctl stop ollama-gpu1", "start ollama-gpu1: is inactive"),
    "disabled": ("systemctl disable ollama-gpu1", "enable ollama-gpu1: does not start at boot"),
    "masked": (
        f"systemctl stop ollama-gpu1; rm {UNIT}; systemctl mask ollama-gpu1", "repair ollama-gpu1: is masked",
    ),
    "another container under its name": (
        "systemctl stop ollama-gpu1; docker run -d --name ollama-gpu1 --label inferfleet.instance=ollama-gpu1"
        " $(docker image ls -q | head -1)",
        "start ollama-gpu1: is inactive",
    ),
    "a container of ours beyond these": (
        "mkdir -p /etc/inferfleet/containers; touch /etc/inferfleet/containers/ollama-gpu9.env",
        "remove container ollama-gpu9: is no longer declared",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRIFT)
def test_drift_is_seen_and_healed(fleet: Project, kind: str) -> None:
    host, (spoil, says) = fleet.host("gpu1"), DRIFT[kind]
    before = containers(host)
    host.run(spoil)
    assert says in fleet.dry().text
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert fleet.apply().changes == {}
    after = containers(host)
    assert {name: after.get(name) for name in NAMES if name != "ollama-gpu1"} == {
        name: before[name] for name in NAMES if name != "ollama-gpu1"
    }
    assert after.keys() == set(NAMES)
    assert wrong(fleet) == {}


def test_without_its_card_verify_is_red(fleet: Project) -> None:
    """The same container, started without `--device`: it answers with 200 from the CPU (ollama#15918)."""
    host = fleet.host("gpu1")
    host.run(f"sed -i '/--device/d' {UNIT}; systemctl daemon-reload; systemctl restart ollama-gpu1")
    for _ in range(100):
        if host.run(call("version", method="GET", port=11435), check=False).returncode == 0:
            break
        time.sleep(0.1)
    found = wrong(fleet)
    assert "it was started with no card" in found["gpu1: ollama-gpu1 was started as declared"]
    assert "it was given no card" in found["gpu1: ollama-gpu1 sees card 1 and no other"]
    assert "it runs on the CPU" in found["gpu1: ollama-gpu1 answers as tiny from the GPU"]
    assert "NVML shows no process" in found["gpu1: ollama-gpu1 computes on card 1 and no other, by NVML"]
    assert not [check for check in found if "ollama-gpu1" not in check]
    assert fleet.apply().rc == 0
    assert wrong(fleet) == {}


STRANGERS = {
    "container": (
        "systemctl stop ollama-gpu1; docker run -d --name ollama-gpu1 $(docker image ls -q | head -1)",
        "docker inspect -f '{{.Id}} {{.State.Running}}' ollama-gpu1",
        "a container called ollama-gpu1 is another program's",
        "docker rm -f ollama-gpu1",
    ),
    "port": (
        "systemctl stop ollama-gpu1; systemd-run -q --unit stranger python3 -m http.server --bind 127.0.0.1 11435;"
        " sleep 1",
        "systemctl show -p MainPID stranger",
        "port 11435 of ollama-gpu1 is taken by python3 (pid ",
        "systemctl stop stranger",
    ),
    "container's port": (
        "systemctl stop ollama-gpu1; docker run -d --name web -p 127.0.0.1:11435:11434 $(docker image ls -q | head -1)",
        "docker inspect -f '{{.Id}} {{.State.Running}}' web",
        "port 11435 of ollama-gpu1 is taken by the container web",
        "docker rm -f web",
    ),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_nothing_of_a_strangers_is_touched(fleet: Project, kind: str) -> None:
    host, (arrives, looks, says, leaves) = fleet.host("gpu1"), STRANGERS[kind]
    host.run(arrives)
    try:
        before = host.run(looks).stdout
        dry = fleet.dry()
        announced = [line for line in dry.text.splitlines() if "] will " in line]
        assert dry.rc == 1 and "will refuse this host: " in announced[-1], dry.text
        run = fleet.apply()
        assert run.rc == 1 and says in run.text
        assert host.run(looks).stdout == before
    finally:
        host.run(leaves)
    run = fleet.apply()
    assert run.rc == 0, run.text


def test_a_dry_run_starts_no_docker(fleet: Project) -> None:
    """Whoever connects to its socket does."""
    host = fleet.host("gpu1")
    host.run("systemctl stop docker.service 2>/dev/null")
    assert "will start Docker: is inactive" in fleet.dry().text
    assert host.run("systemctl is-active docker", check=False).stdout == "inactive\n"
    assert fleet.apply().rc == 0
    assert wrong(fleet) == {}


def test_containers_are_back_with_docker(fleet: Project) -> None:
    host = fleet.host("gpu1")
    host.run("systemctl stop docker.service docker.socket; systemctl reset-failed docker; systemctl start docker")
    _wait_until_active(host)


def test_a_docker_without_its_proxy(fleet: Project) -> None:
    """The daemon itself then holds the containers' ports."""
    host = fleet.host("gpu1")
    put = "import json; p = '/etc/docker/daemon.json'; d = {**json.load(open(p)), 'userland-proxy': False}"
    host.run(f"cp -a /etc/docker/daemon.json /tmp/d; python3 -c \"{put}; json.dump(d, open(p, 'w'))\"")
    # Its unit allows three starts in a minute.
    host.run("systemctl reset-failed docker; systemctl restart docker")
    _wait_until_active(host)
    assert '"dockerd"' in host.run("ss -Hltnp | grep 11434").stdout
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert fleet.apply().changes == {}
    assert wrong(fleet) == {}
    host.run("cp -a /tmp/d /etc/docker/daemon.json; systemctl reset-failed docker; systemctl restart docker")
    _wait_until_active(host)
    assert fleet.apply().rc == 0


def _wait_until_active(host: LabHost) -> None:
    for name in NAMES:
        for _ in range(300):
            if host.run(f"systemctl is-active {name}", check=False).stdout == "active\n":
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{name} is not active after 30 s")


def test_after_a_reboot_all_is_as_before(fleet: Project) -> None:
    """Also where Docker's first start fails, as it may at boot."""
    host = fleet.host("gpu1")
    once = '[Service]\\nExecStartPre=/bin/sh -c "test -e /run/once || { touch /run/once; exit 1; }"\\n'
    drop_in = "/etc/systemd/system/docker.service.d/once.conf"
    host.run(f"mkdir -p $(dirname {drop_in}); printf '{once}' >{drop_in}")
    host.reboot()
    _wait_until_active(host)
    assert host.run("journalctl -b -u docker -o cat | grep -c 'Failed with result'").stdout == "1\n"
    host.run(f"rm {drop_in}; systemctl daemon-reload")
    run = fleet.apply()
    assert set(run.changes) <= {"Models | Store and memory"}, run.text
    assert wrong(fleet) == {}


def test_a_container_that_is_declared_no_longer_goes(spoiled: Project) -> None:
    spoiled.hosts["gpu1"]["instances"] = [{"engine": "ollama", "gpus": [0]}]
    dry = spoiled.dry()
    assert dry.text.count("will remove container ") == 3
    run = spoiled.apply()
    assert run.rc == 0, run.text
    assert set(containers(spoiled.host("gpu1"))) == {"ollama-gpu0"}
    assert wrong(spoiled) == {}
