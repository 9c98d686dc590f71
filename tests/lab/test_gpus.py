"""Cards and driver of real hosts: the probe with NVIDIA's own library, and what each failure of a card says."""

from collections.abc import Iterator
from typing import Any

import pytest

from inferfleet import changes, probe
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.gpu.conf import card_uuid
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
def gpu1(lab: Lab) -> Iterator[LabHost]:
    """A host with four A30, well before and after."""
    host = lab.hosts["gpu1"]
    before = host.run("cat /etc/gpu-double.conf").stdout
    yield host
    host.run("cat >/etc/gpu-double.conf", stdin=before)


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
    gpu1.gpus.change(cards={3: {"mig": "2g.12gb 2g.12gb"}})
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
# What is wrong with the host, with its second card -> the line.
FAILURES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "driver and library differ": (
        {"loaded": "570.172.08"}, {}, "its driver was updated and the old one is still loaded"),
    "module not loaded": ({"loaded": ""}, {}, "its driver is installed and not loaded"),
    "card lost": ({}, {"lost": "1"}, f"card 1 (0000:31:00.0) {LOST}"),
    "card swapped": (
        {}, {"uuid": "GPU-00000000-0000-4000-8000-000000000000"},
        f"card {card_uuid('gpu1', 1)} is declared, the host has "),
    "another model": ({}, {"name": "NVIDIA A10"}, "card 1 is declared as A30, it is a NVIDIA A10; "),
    "memory errors": ({}, {"ecc_uncorrected": "3"}, "card 1 has met 3 memory errors that could not be corrected; "),
    "rows to be remapped": ({}, {"remap_pending": "1"}, "card 1 has memory that is replaced only when it is reset; "),
    "divided": ({}, {"mig": "1g.6gb"}, "card 1 is divided by MIG and cannot be used whole; "),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_line(gpu1: LabHost, failure: str) -> None:
    host, card, line = FAILURES[failure]
    gpu1.gpus.change(host=host, cards={1: card} if card else {})
    declared = [PlacedGpu(index, "A30", card_uuid("gpu1", index), "cuda", 24) for index in range(4)]
    state = ask(gpu1)
    both = (changes.driver(NvidiaHost(tuple(declared)), state), changes.cards(declared, state))
    (effect,) = (effect for found in both for effect in found.effects)
    assert (effect.kind, effect.why[: len(line)]) == ("refuse", line)


def test_a_refused_host_fails_alone(project: Project, gpu1: LabHost) -> None:
    gpu1.gpus.change(cards={1: {"lost": "1"}})
    project.hosts = {"gpu1": {"gpus": FOUR}, "hgx1": {"gpus": ["H100"] * 8}}
    run = project.apply()
    assert refusal(run, "gpu1") == f"card 1 (0000:31:00.0) {LOST}"
    assert (run.failed, run.changed) == (["gpu1"], set())


def test_mig_devices_are_checked(project: Project, gpu1: LabHost) -> None:
    gpu1.gpus.change(cards={1: {"mig": "2g.12gb 2g.12gb"}})
    (first, second) = (device["uuid"] for device in ask(gpu1)["cards"][1]["mig"]["devices"])
    whole = [{"model": "A30", "uuid": card_uuid("gpu1", 0)}]
    good = apply(project, "gpu1", [*whole, {"model": "A30", "uuid": first}, {"model": "A30", "uuid": second}])
    assert (good.rc, good.changed) == (0, set()), good.text
    gone = "MIG-00000000-0000-4000-8000-000000000000"
    bad = refusal(apply(project, "gpu1", [*whole, {"model": "A30", "uuid": gone}]), "gpu1")
    assert bad == (
        f"card {gone} is declared, the host has {', '.join(sorted((first, second)))}; correct the inventory, or divide "
        "the card again"
    )


def test_a_warning_changes_nothing(project: Project, gpu1: LabHost) -> None:
    gpu1.gpus.change(cards={2: {"persistence": "0"}})
    run = apply(project, "gpu1", FOUR)
    assert (run.rc, run.changed) == (0, set())
    (line,) = (line for line in run.text.splitlines() if "warning: " in line)
    assert "persistence mode is off on card 2, so every first start waits; enable nvidia-persistenced" in line


def test_nvswitch_needs_its_fabric_manager(project: Project, lab: Lab) -> None:
    hgx, eight = lab.hosts["hgx1"], ["H100"] * 8
    good = apply(project, "hgx1", eight)
    assert (good.rc, good.changed) == (0, set()), good.text
    hgx.run("systemctl stop nvidia-fabricmanager")
    try:
        line = refusal(apply(project, "hgx1", eight), "hgx1")
    finally:
        hgx.run("systemctl start nvidia-fabricmanager")
    waits = "card 0 has not joined its NVSwitch fabric (Not Started)"
    assert line == f"{waits}; `systemctl enable --now nvidia-fabricmanager`"


def test_cards_without_a_driver(project: Project, lab: Lab) -> None:
    line = refusal(apply(project, "bare1", ["A30", "A30"]), "bare1")
    assert line == "2 NVIDIA cards are declared and 2 there without a driver; install one, or let `driver` manage it"


def test_the_probe_as_a_fact(project: Project, gpu1: LabHost) -> None:
    """How a user looks at a host; and the command passes through sudo and the shell as one argument."""
    project.hosts = {"gpu1": {"gpus": FOUR}}
    done = project._run([str(BIN / "pyinfra"), str(project.write()), "fact", "inferfleet.facts.gpus.GpuState"])
    assert (done.returncode, card_uuid("gpu1", 2) in done.stdout + done.stderr) == (0, True), done.stderr
