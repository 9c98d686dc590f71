"""Doubles of cards on a lab host: the real nvidia-ml-py and the real nvidia-ctk believe them; each failure shows."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.gpu.conf import card_uuid
from inferfleet.lab.gpu.debs import driver_debs
from inferfleet.lab.gpu.driver import DRIVER
from inferfleet.lab.gpu.switches import NEWER, OLD
from inferfleet.lab.mirror.deb import extract
from inferfleet.lab.mirror.toolkit import TOOLKIT, toolkit_debs
from inferfleet.lab.paths import cache_dir

pytestmark = pytest.mark.lab

UUIDS = [card_uuid("gpu1", index) for index in range(4)]
ASK = Path(__file__).with_name("ask_nvml.py")
MISMATCH, NOT_LOADED, LOST, UNKNOWN = 18, 9, 15, 999  # nvmlReturn_t


def quiet(line: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    hosts = [HostSpec("gpu1", gpus=("A30",) * 4), HostSpec("gpu2", "bookworm", ("H100", "H100"), driver=False)]
    with Lab(f"gd{os.getpid()}", hosts) as made:
        tree = tmp_path_factory.mktemp("toolkit")
        for deb in toolkit_debs(TOOLKIT, cache_dir(), quiet):
            extract(deb, tree)
        for host in made.hosts.values():
            host.on_disk(["cp", pynvml.__file__, ASK, host.path("/opt")])
            host.on_disk(
                ["cp", *(tree / "usr/bin" / name for name in ("nvidia-ctk", "nvidia-cdi-hook")), host.path("/opt")]
            )
        yield made


@pytest.fixture
def host(lab: Lab) -> LabHost:
    return lab.hosts["gpu1"]


def nvml(host: LabHost, before: str = "") -> Any:
    return json.loads(host.run(f"{before} python3 /opt/ask_nvml.py").stdout)


def smi(host: LabHost, words: str = "") -> tuple[int, str]:
    done = host.run(f"nvidia-smi {words}", check=False)
    return done.returncode, done.stdout.strip()


def field(host: LabHost, name: str) -> list[str]:
    return smi(host, f"--query-gpu={name} --format=csv,noheader,nounits")[1].splitlines()


# --- as delivered --------------------------------------------------------------------------------


def test_the_real_nvml_bindings_see_the_cards(host: LabHost) -> None:
    found = nvml(host)
    assert (found["driver"], found["cuda"]) == (DRIVER, 13000)
    assert [card["uuid"] for card in found["cards"]] == UUIDS == [card.uuid for card in host.gpus]
    assert len({card["serial"] for card in found["cards"]}) == 4
    second = {key: found["cards"][1][key] for key in ("name", "memory_mib", "compute", "arch", "minor", "pci", "bus")}
    assert second == {
        "name": "NVIDIA A30",
        "memory_mib": 24576,
        "compute": [8, 0],
        "arch": pynvml.NVML_DEVICE_ARCH_AMPERE,
        "minor": 1,
        "pci": "0x20b710de",
        "bus": "00000000:31:00.0",
    }
    assert [(card["by_uuid"], card["by_bus"]) for card in found["cards"]] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert {(card["persistence"], card["errors"], card["nvlink"]) for card in found["cards"]} == {(1, 0, 3)}


def test_nvidia_smi_says_the_same(host: LabHost) -> None:
    assert smi(host, "-L") == (0, "\n".join(f"GPU {i}: NVIDIA A30 (UUID: {uuid})" for i, uuid in enumerate(UUIDS)))
    assert field(host, "index,memory.total,driver_version")[3] == f"3, 24576, {DRIVER}"
    assert smi(host, "--query-gpu=uuid,shoe_size --format=csv") == (
        2,
        'Field "shoe_size" is not a valid field to query.',
    )
    assert smi(host, "-q -x")[1].count("<product_name>NVIDIA A30</product_name>") == 4


def test_loaded_and_installed_can_be_read_where_the_real_ones_are(host: LabHost) -> None:
    assert DRIVER in host.run("cat /proc/driver/nvidia/version").stdout
    assert host.run("cat /sys/module/nvidia/version; modinfo -F version nvidia").stdout.split() == [DRIVER, DRIVER]
    assert host.run("realpath /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").stdout.strip().endswith(f".so.{DRIVER}")
    assert host.run("grep -l 0x10de /sys/bus/pci/devices/*/vendor").stdout.count("vendor") == 4


def cdi(host: LabHost) -> tuple[list[str], str]:
    host.run("PATH=$PATH:/opt /opt/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml")
    return host.run("/opt/nvidia-ctk cdi list").stdout.split(), host.run("cat /var/run/cdi/nvidia.yaml").stdout


def test_the_real_nvidia_ctk_lists_them(host: LabHost) -> None:
    names, specification = cdi(host)
    assert set(names) == {f"nvidia.com/gpu={word}" for word in ["all", *map(str, range(4)), *UUIDS]}
    assert f"hostPath: /usr/lib/x86_64-linux-gnu/libGLX_nvidia.so.{DRIVER}" in specification
    assert "containerPath: /etc/vulkan/icd.d/nvidia_icd.json" in specification


# --- processes -----------------------------------------------------------------------------------

_MAPS_IT = (
    "import mmap,time; f=open('/usr/lib/x86_64-linux-gnu/libGLX_nvidia.so.0','rb');"
    "m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ); time.sleep(60)"
)


def test_a_process_is_on_the_card_that_it_was_given(host: LabHost) -> None:
    host.run(f'systemd-run -q --unit one -E CUDA_VISIBLE_DEVICES={UUIDS[2]} python3 -c "{_MAPS_IT}"')
    host.run(f'systemd-run -q --unit none -E CUDA_VISIBLE_DEVICES=-1 python3 -c "{_MAPS_IT}"')
    native = f"-E CUDA_VISIBLE_DEVICES={UUIDS[1]} -E GGML_VK_VISIBLE_DEVICES=-1"
    host.run(f'systemd-run -q --unit looks {native} python3 -c "{_MAPS_IT}"')
    only = "mount -t tmpfs t /dev; mknod /dev/nvidiactl c 195 255; mknod /dev/nvidia3 c 195 3"
    boxed = f"systemd-run -q --unit boxed -p PrivateMounts=yes sh -c '{only}; exec python3 /opt/maps.py'"
    host.run(f"cat > /opt/maps.py; {boxed}", stdin=_MAPS_IT)
    host.run("sleep 0.5")
    pids = [int(host.run(f"systemctl show -P MainPID {unit}").stdout) for unit in ("one", "boxed")]
    cards = nvml(host)["cards"]
    assert [card["pids"] for card in cards] == [[], [], [pids[0]], [pids[1]]]
    assert [card["used"] > 0 for card in cards] == [False, False, True, True]
    assert smi(host, "--query-compute-apps=gpu_uuid,pid --format=csv,noheader")[1].split() == [
        *(f"{UUIDS[2]},", str(pids[0])),
        *(f"{UUIDS[3]},", str(pids[1])),
    ]
    host.run("systemctl stop one none looks boxed")
    assert [card["pids"] for card in nvml(host)["cards"]] == [[]] * 4


def test_who_may_not_open_the_nodes_has_no_cards(host: LabHost) -> None:
    """As in a container whose cards `systemctl daemon-reload` took away."""
    closed = "systemd-run -q --wait --pipe -p DevicePolicy=closed"
    assert nvml(host, closed) == UNKNOWN
    one = f"{closed} -p DeviceAllow=/dev/nvidiactl -p DeviceAllow=/dev/nvidia1"
    assert [card["uuid"] for card in nvml(host, one)["cards"]] == UUIDS[1:2]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_card_is_lost(host: LabHost) -> None:
    host.gpus.switch("lost", card=2)
    assert [card.faults for card in host.gpus] == [(), (), ("lost",), ()]
    words = "Unable to determine the device handle for GPU2: 0000:B1:00.0: GPU is lost.  Reboot the system to recover"
    assert smi(host) == (LOST, f"{words} this GPU")
    assert smi(host, "-i 1 -L")[0] == 0
    assert [isinstance(card, dict) or card for card in nvml(host)["cards"]] == [True, True, LOST, True]
    assert "Xid (PCI:0000:B1:00): 79" in host.run("journalctl -k -b -g 'NVRM: Xid' -o cat").stdout
    host.gpus.switch("lost", card=2, on=False)
    assert smi(host)[0] == 0


def test_errors_of_memory(host: LabHost) -> None:
    host.gpus.switch("ecc", card=1)
    assert field(host, "ecc.errors.uncorrected.volatile.total,remapped_rows.pending") == [
        "0, 0",
        "3, 1",
        "0, 0",
        "0, 0",
    ]
    assert [(card["errors"], card["remapped"]) for card in nvml(host)["cards"]][1] == (3, [0, 1, 1, 0])
    host.gpus.switch("ecc", card=1, on=False)
    assert [card["errors"] for card in nvml(host)["cards"]] == [0] * 4


def test_an_xid_error(host: LabHost) -> None:
    host.gpus.switch("xid", card=3)
    assert "Xid (PCI:0000:CA:00): 119" in host.run("journalctl -k -b -n 1 -o cat").stdout


def test_another_card_in_the_slot_and_less_memory(host: LabHost) -> None:
    host.gpus.switch("swapped", card=0)
    host.gpus.switch("less-memory", card=1)
    found = nvml(host)["cards"]
    assert found[0]["uuid"] not in UUIDS
    assert [card["memory_mib"] for card in found] == [24576, 12288, 24576, 24576]
    host.gpus.switch("swapped", card=0, on=False)
    host.gpus.switch("less-memory", card=1, on=False)
    assert [(card["uuid"], card["memory_mib"]) for card in nvml(host)["cards"]] == [(uuid, 24576) for uuid in UUIDS]


def test_mig(host: LabHost) -> None:
    host.gpus.switch("mig", card=3)
    found = nvml(host)["cards"][3]
    assert (found["mig_mode"], len(found["mig"])) == ([1, 1], 2)
    names, specification = cdi(host)
    assert {f"nvidia.com/gpu={uuid}" for uuid in found["mig"]} < set(names)
    assert f"nvidia.com/gpu={UUIDS[3]}" not in names
    assert "path: /dev/nvidia-caps/nvidia-cap" in specification
    host.gpus.switch("mig", card=3, on=False)
    assert nvml(host)["cards"][3]["mig_mode"] == [0, 0]


def test_persistence_is_off(host: LabHost) -> None:
    host.gpus.switch("persistence-off")
    assert field(host, "persistence_mode") == ["Disabled"] * 4
    host.run("nvidia-smi -pm 1 -i 1")
    assert [card["persistence"] for card in nvml(host)["cards"]] == [0, 1, 0, 0]
    host.gpus.switch("persistence-off", on=False)
    assert field(host, "persistence_mode") == ["Enabled"] * 4


def test_the_module_is_not_loaded(host: LabHost) -> None:
    host.gpus.switch("not-loaded")
    code, words = smi(host)
    assert (code, words[:66]) == (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVI")
    assert nvml(host) == NOT_LOADED
    assert host.run("ls -d /dev/nvidia[0-9c]* /proc/driver/nvidia /sys/module/nvidia", check=False).stdout == ""
    host.gpus.switch("not-loaded", on=False)
    assert len(nvml(host)["cards"]) == 4


def test_an_old_driver(host: LabHost) -> None:
    host.gpus.switch("old-driver")
    found = nvml(host)
    assert (found["driver"], found["cuda"], len(found["cards"])) == (OLD, 12020, 4)
    host.gpus.switch("old-driver", on=False)
    assert nvml(host)["driver"] == DRIVER


def test_the_library_is_newer_until_a_reboot_which_shuffles(host: LabHost) -> None:
    host.run("touch /usr/lib/x86_64-linux-gnu/libnvidia-container.so.1.20.1")
    host.gpus.switch("library-newer")
    host.gpus.switch("shuffled")
    host.run("ls /usr/lib/x86_64-linux-gnu/libnvidia-container.so.1.20.1")  # is another's
    assert smi(host) == (
        MISMATCH,
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.105",
    )
    assert nvml(host) == MISMATCH
    host.reboot()
    assert nvml(host)["driver"] == NEWER
    assert [card.slot for card in host.gpus] == [3, 0, 1, 2]
    found = nvml(host)["cards"]
    assert [card["uuid"] for card in found] == [UUIDS[3], *UUIDS[:3]]
    assert (found[0]["minor"], found[0]["bus"]) == (0, "00000000:17:00.0")


def test_a_reset_host_is_as_delivered(host: LabHost) -> None:
    host.gpus.switch("lost", card=0)
    host.reset()
    assert field(host, "uuid,driver_version,persistence_mode") == [f"{uuid}, {DRIVER}, Enabled" for uuid in UUIDS]


# --- without a driver, and NVSwitch ----------------------------------------------------------------


def test_packages_of_the_driver_bring_the_cards(lab: Lab) -> None:
    host = lab.hosts["gpu2"]
    assert host.run("nvidia-smi; ls /dev/nvidia*; ls /usr/lib/x86_64-linux-gnu/*nvidia*", check=False).stdout == ""
    assert host.run("cat /sys/bus/pci/devices/*/device").stdout.count("0x2330") == 2
    debs = [deb for deb in driver_debs(cache_dir(), quiet) if "open" not in deb.name or "opencl" in deb.name]
    host.on_disk(["cp", *debs, host.path("/var/cache/apt/archives")])
    host.run("dpkg --force-unsafe-io -i /var/cache/apt/archives/*.deb && modprobe nvidia")
    host.run("systemctl enable --now nvidia-persistenced nvidia-fabricmanager")
    found = nvml(host)
    assert [(card["name"], card["fabric"]) for card in found["cards"]] == [("NVIDIA H100 80GB HBM3", 3)] * 2
    host.gpus.switch("fabric-off")
    assert [card["fabric"] for card in nvml(host)["cards"]] == [1, 1]
    host.gpus.switch("fabric-off", on=False)
    host.reboot()
    assert [card["fabric"] for card in nvml(host)["cards"]] == [3, 3]
