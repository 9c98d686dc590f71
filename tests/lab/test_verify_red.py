"""Each check is itself checked: break what it guards, see that check turn red and say so."""

import pytest

from tests.lab.project import CPU_TWICE, GPU, TINY, Project

pytestmark = pytest.mark.lab

STORE = "/usr/share/ollama/.ollama/models"
BLOB = f"$(ls -S {STORE}/blobs/sha256-* | head -1)"
# host, what is done, the sentence that must turn red, words of its reason
BREAKS = [
    ("cpu1", "systemctl stop ollama-cpu0", "ollama-cpu0 is running and enabled", "the unit is inactive"),
    ("cpu1", "systemctl disable --quiet ollama-cpu0", "ollama-cpu0 is running and enabled", "the unit is disabled"),
    (
        "cpu1",
        "sed -i s/NUM_PARALLEL=4/NUM_PARALLEL=2/ /etc/systemd/system/ollama-cpu0.service.d/zz-inferfleet.conf;"
        " systemctl daemon-reload; systemctl restart ollama-cpu0; sleep 1",
        "ollama-cpu0 was started as declared",
        "it has OLLAMA_NUM_PARALLEL=2, declared is 4",
    ),
    (
        "cpu1",
        "sed -i s/HOST=127.0.0.1/HOST=0.0.0.0/ /etc/systemd/system/ollama-cpu0.service.d/zz-inferfleet.conf;"
        " systemctl daemon-reload; systemctl restart ollama-cpu0; sleep 1",
        "ollama-cpu0 listens on 127.0.0.1:11434 and nothing wider",
        "port 11434 is open on *",
    ),
    ("cpu1", "systemctl stop ollama-cpu1", "ollama-cpu1 is Ollama 0.32.15", "nothing answers at 127.0.0.1:11435"),
    ("cpu1", f"rm -r {STORE}/manifests", "tiny:latest is in the store, whole", "it is missing"),
    (
        "cpu1",
        f"printf X | dd of={BLOB} bs=1 seek=90000 conv=notrunc status=none",
        "tiny:latest is in the store, whole",
        "is corrupt",
    ),
    (
        "cpu1",
        "mkdir -p /etc/systemd/system/ollama-old.service.d; echo '# Managed by inferfleet' >"
        " /etc/systemd/system/ollama-old.service.d/zz-inferfleet.conf",
        "runs no instance of ours beyond these",
        "ollama-old is ours and not declared",
    ),
    (
        "gpu1",
        "sed -i s/VISIBLE_DEVICES=0/VISIBLE_DEVICES=-1/ /etc/systemd/system/ollama-gpu0.service.d/zz-inferfleet.conf;"
        " systemctl daemon-reload; systemctl restart ollama-gpu0; sleep 2",
        "ollama-gpu0 answers as tiny from the GPU",
        "it runs on the CPU: none of it is in the card's memory",
    ),
    (
        "cpu1",
        "sed -i s/GGML_VK_VISIBLE_DEVICES=-1/GGML_VK_VISIBLE_DEVICES=0/"
        " /etc/systemd/system/ollama-cpu0.service.d/zz-inferfleet.conf;"
        " systemctl daemon-reload; systemctl restart ollama-cpu0; sleep 2",
        "ollama-cpu0 answers as tiny from the CPU",
        "it runs on a GPU",
    ),
]


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    bare.hosts = {"gpu1": GPU, "cpu1": CPU_TWICE}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert not {says: why for says, why in bare.verify().items() if why}
    return bare


@pytest.mark.parametrize(("host", "command", "says", "why"), BREAKS, ids=[f"{b[0]}: {b[2]}, {b[3]}" for b in BREAKS])
def test_check_turns_red(fleet: Project, host: str, command: str, says: str, why: str) -> None:
    fleet.host(host).run(command)
    checks = fleet.verify()
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert why in checks[f"{host}: {says}"], checks


def test_wrong_answer_is_red(fleet: Project) -> None:
    fleet.data["models"] = {"tiny": {**TINY["tiny"], "expect": {"ping": "ding"}}}
    checks = fleet.verify()
    fleet.data["models"] = TINY
    assert checks["gpu1: ollama-gpu0 answers as tiny from the GPU"] == "'ping' was answered 'pong', expected 'ding'"


def test_host_that_is_gone_is_red(fleet: Project) -> None:
    fleet.host("cpu1").cut()
    try:
        checks = fleet.verify()
    finally:
        fleet.host("cpu1").on()
    assert all("the host could not be asked" in why for says, why in checks.items() if says.startswith("cpu1:"))
    assert not [why for says, why in checks.items() if says.startswith("gpu1:") and why]


def test_all_is_green_again(fleet: Project) -> None:
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert not {says: why for says, why in fleet.verify().items() if why}
