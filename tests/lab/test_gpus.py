"""Cards and driver of real hosts: the probe with NVIDIA's own library, and what each failure of a card says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inferfleet import changes, probe
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.gpu.conf import card_uuid
from inferfleet.lab.gpu.driver import DRIVER
from inferfleet.placed import PlacedGpu
from tests.lab.project import BIN, Project, Run

pytestmark = pytest.mark.lab

# Only what this file is about, so that each run takes seconds.
DEPLOY = """\
from inferfleet.current import my_node
from roles.nvidia_driver import nvidia_driver

node = my_node()
if node:
    nvidia_driver(node)
"""
FOUR = ["A30"] * 4


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    hosts = [HostSpec("gpu1", gpus=("A30",) * 4), HostSpec("hgx1", "bookworm", gpus=("H100",) * 8)]
    with Lab("tgpus", [*hosts, HostSpec("bare1", gpus=("A30",) * 2, driver=False)]) as lab:
        yield lab


@pytest.fixture(scope="module")
def project(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("gpus"), lab, {})
    (project.directory / "deploy.py").write_text(DEPLOY)
    return project


@pytest.fixture
def gpu1(lab: Lab) -> LabHost:
    """A host with four A30, all well."""
    return lab.hosts["gpu1"]


@contextmanager
def wrong(host: LabHost, switch: str, card: int = 1) -> Iterator[None]:
    """Something is wrong with a host meanwhile; its kernel's log is empty again afterwards, as after a reboot."""
    host.gpus.switch(switch, card=card)
    try:
        yield
    finally:
        host.gpus.switch(switch, card=card, on=False)
        host.run("journalctl --rotate --vacuum-time=1us")


def ask(host: LabHost, without: str = "") -> dict[str, Any]:
    """What the probe says of a host, where a program may be away meanwhile."""
    hide = f"mv {without} {without}.away; " if without else ""
    back = f"; mv {without}.away {without}" if without else ""
    return probe.answer(host.run(f"{hide}{probe.command()}{back}", check=False, timeout=100).stdout.splitlines())


def apply(project: Project, host: str, gpus: list[Any]) -> Run:
    project.hosts = {host: {"gpus": gpus}}
    return project.apply()


def refusal(run: Run, host: str) -> str:
    """The one line with which a host was refused."""
    lines = [line for line in run.text.splitlines() if f"{host}: " in line and "will " not in line]
    assert (run.rc, len(lines)) == (1, 1), run.text
    return lines[0].split(f"{host}: ", 1)[1]


def test_nvml_and_nvidia_smi_say_the_same(gpu1: LabHost) -> None:
    """The real nvidia-ml-py on the driver double, and the fallback of a host without python3, with MIG on one card."""
    with wrong(gpu1, "mig", card=3):
        by_nvml, by_smi = ask(gpu1), ask(gpu1, without="/usr/bin/python3")
    assert (by_nvml["by"], by_smi["by"]) == ("nvml", "nvidia-smi")
    assert [card["uuid"] for card in by_nvml["cards"]] == [card_uuid("gpu1", index) for index in range(4)]
    assert len(by_nvml["cards"][3]["mig"]["devices"]) == 2
    for card in (card for state in (by_nvml, by_smi) for card in state["cards"]):
        # Schema 12 has no NVLinks, and the double's XML no rows that failed.
        del card["nvlinks"], card["pending"]["failed"], card["pending"]["retire"]
    assert by_nvml.pop("by") != by_smi.pop("by")
    assert by_nvml == by_smi


def test_what_is_asked_leaves_nothing(gpu1: LabHost) -> None:
    files = "find / -xdev -newer /run/before -type f -not -path '/proc/*' -not -path '/var/log/*' -not -path '/run/*'"
    gpu1.run("touch /run/before; sleep 0.01")
    ask(gpu1)
    ask(gpu1, without="/usr/bin/python3")
    assert gpu1.run(f"{files} -not -path '/sys/*'").stdout == ""


def test_cards_as_declared(project: Project, gpu1: LabHost) -> None:
    run = apply(project, "gpu1", [{"model": "A30", "vram_gib": 24, "uuid": card_uuid("gpu1", 0)}, *FOUR[1:]])
    assert (run.rc, run.changed) == (0, set()), run.text


LOST = "has fallen off the bus; reboot the host, and if it is lost again, reseat or replace the card"
UPDATED = "its driver was updated and the old one is still loaded (580.95.05 is loaded, 580.105.08 installed)"
# Switch, thrown for the second card -> the line.
FAILURES = {
    "library-newer": f"{UPDATED}; reboot the host",
    "lost": f"card 1 (0000:31:00.0) {LOST}",
    "ecc": "card 1 has logged XID 48 (a memory error that ECC could not correct) since the host started; "
    "reboot the host",
    "xid": "card 1 has logged XID 119 (its GSP firmware does not answer) since the host started; reboot the host",
    "swapped": f"card {card_uuid('gpu1', 1)} is declared, the host has {{there}}; correct the inventory",
    "mig": "card 1 is divided by MIG and cannot be used whole; declare its parts by their MIG- UUIDs, or "
    "`nvidia-smi -i 1 -mig 0`",
    "not-loaded": "its driver is installed and not loaded; reboot the host, or see `modprobe nvidia`",
    "old-driver": "its driver is 535.183.01, Ollama needs 550 or newer; update the driver",
    "less-memory": "card 1 is declared with 24 GiB, it has 12.0; correct the inventory",
}


def decided(state: dict[str, Any]) -> list[str]:
    """Why four A30, declared by UUID, would be refused."""
    declared = [PlacedGpu(index, "A30", card_uuid("gpu1", index), "cuda", 24) for index in range(4)]
    both = (changes.driver(NvidiaHost(tuple(declared)), state), changes.cards(declared, state))
    return [effect.why for found in both for effect in found.effects]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_line(gpu1: LabHost, failure: str) -> None:
    with wrong(gpu1, failure):
        state, there = ask(gpu1), ", ".join(sorted(card.uuid for card in gpu1.gpus))
    assert decided(state) == [FAILURES[failure].format(there=there)]
    assert decided(ask(gpu1)) == []


def test_a_refused_host_fails_alone(project: Project, gpu1: LabHost) -> None:
    project.hosts = {"gpu1": {"gpus": FOUR}, "hgx1": {"gpus": ["H100"] * 8}}
    with wrong(gpu1, "lost"):
        run = project.apply()
    assert refusal(run, "gpu1") == f"card 1 (0000:31:00.0) {LOST}"
    assert (run.failed, run.changed) == (["gpu1"], set())


def test_mig_devices_are_checked(project: Project, gpu1: LabHost) -> None:
    whole, gone = {"model": "A30", "uuid": card_uuid("gpu1", 0)}, "MIG-00000000-0000-4000-8000-000000000000"
    with wrong(gpu1, "mig"):
        parts = sorted(device["uuid"] for device in ask(gpu1)["cards"][1]["mig"]["devices"])
        good = apply(project, "gpu1", [whole, *({"model": "A30 2g.12gb", "uuid": part} for part in parts)])
        bad = refusal(apply(project, "gpu1", [whole, {"model": "A30 2g.12gb", "uuid": gone}]), "gpu1")
    assert (good.rc, good.changed) == (0, set()), good.text
    have = f"card {gone} is declared, the host has {', '.join(parts)}"
    assert bad == f"{have}; correct the inventory, or divide the card again"


def test_a_warning_changes_nothing(project: Project, gpu1: LabHost) -> None:
    with wrong(gpu1, "persistence-off"):
        run = apply(project, "gpu1", FOUR)
    assert (run.rc, run.changed) == (0, set())
    (line,) = (line for line in run.text.splitlines() if "warning: " in line)
    assert "persistence mode is off on card 0 and 1 and 2 and 3, so every first start waits; " in line


def test_indices_change_and_uuids_stay(gpu1: LabHost) -> None:
    """Row 16 of the failure catalogue: cards declared by UUID are the same cards after a reboot that counts anew."""
    before = [card["uuid"] for card in ask(gpu1)["cards"]]
    gpu1.gpus.switch("shuffled")
    gpu1.reboot()
    state = ask(gpu1)
    assert [card["uuid"] for card in state["cards"]] == [before[3], *before[:3]]
    assert decided(state) == []
    by_index = changes.with_uuids([PlacedGpu(0, "A30", None, "cuda")], state)
    assert by_index[0].uuid == before[3]


def test_nvswitch_needs_its_fabric_manager(project: Project, lab: Lab) -> None:
    hgx, eight = lab.hosts["hgx1"], ["H100"] * 8
    good = apply(project, "hgx1", eight)
    assert (good.rc, good.changed) == (0, set()), good.text
    with wrong(hgx, "fabric-off"):
        line = refusal(apply(project, "hgx1", eight), "hgx1")
    waits = "card 0 has not joined its NVSwitch fabric (Not Started)"
    assert line == f"{waits}; `systemctl enable --now nvidia-fabricmanager`"


def test_a_driver_that_came_later_is_seen(project: Project, lab: Lab) -> None:
    """Row 13 of the failure catalogue: nothing is kept of the run that found no driver."""
    bare = lab.hosts["bare1"]
    line = refusal(apply(project, "bare1", ["A30", "A30"]), "bare1")
    assert line == "2 NVIDIA cards are declared and 2 there without a driver; install one, or let `driver` manage it"
    bare.gpus.install(DRIVER)
    bare.run("/usr/lib/gpu-double/driver.py load")
    run = apply(project, "bare1", ["A30", "A30"])
    assert (run.rc, run.changed) == (0, set()), run.text


def test_the_probe_as_a_fact(project: Project, gpu1: LabHost) -> None:
    """How a user looks at a host; and the command passes through sudo and the shell as one argument."""
    project.hosts = {"gpu1": {"gpus": FOUR}}
    done = project._run([str(BIN / "pyinfra"), str(project.write()), "fact", "inferfleet.facts.gpus.GpuState"])
    assert (done.returncode, card_uuid("gpu1", 2) in done.stdout + done.stderr) == (0, True), done.stderr
