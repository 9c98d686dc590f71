"""What `nvidia-smi` says, read: recorded outputs of real machines, and its words for what is wrong."""

from typing import Any

import pytest

from tests.plan import machines

# File -> driver, CUDA, name, architecture, MiB, minor number, ECC on, uncorrected errors, PCI address.
READ = {
    "a100-sxm4-v12": ("535.54.03", "12.2", "NVIDIA A100-SXM4-80GB", "Ampere", 81920, 1, True, 0, "0000:01:00.0"),
    "a10g": ("515.105.01", "11.7", "NVIDIA A10G", "Ampere", 23028, 0, True, 0, "0000:00:1e.0"),
    "quadro-p2000-v12": ("525.125.06", "12.0", "Quadro P2000", "Pascal", 5120, 0, None, None, "0000:17:00.0"),
    "rtx-3090-v12": ("525.147.05", "12.0", "NVIDIA GeForce RTX 3090", "Ampere", 24576, 0, None, None, "0000:00:10.0"),
    "rtx-4000-sff-ada-v13": (
        "595.84", "13.2", "NVIDIA RTX 4000 SFF Ada Generation", "Ada Lovelace", 20475, 0, False, None, "0000:06:00.0"
    ),
    "tesla-t4": ("515.105.01", "11.7", "Tesla T4", "Turing", 15360, 0, True, 0, "0000:00:1e.0"),
}  # fmt: skip


def test_every_recording_is_read() -> None:
    assert sorted(READ) == machines.RECORDED


@pytest.mark.parametrize("name", READ)
def test_recorded_cards(name: str) -> None:
    state = machines.recorded(name)
    (card,) = state["cards"]
    assert (state["by"], state["error"], card["index"], card["error"]) == ("nvidia-smi", None, 0, None)
    assert card["uuid"].startswith("GPU-")
    assert READ[name] == (
        state["driver"]["loaded"], state["driver"]["cuda"], card["name"], card["architecture"], card["memory_mib"],
        card["minor"], card["ecc"]["mode"], card["ecc"]["volatile"]["uncorrected"], card["pci"],
    )  # fmt: skip


def test_modes_and_processes() -> None:
    ada, divided, t4 = (machines.recorded(n)["cards"][0] for n in ("rtx-4000-sff-ada-v13", "a100-sxm4-v12", "tesla-t4"))
    assert (ada["persistence"], divided["persistence"], ada["compute_mode"]) == (True, False, "Default")
    assert (ada["mig"]["mode"], divided["mig"]["mode"], divided["mig"]["pending"]) == (None, True, True)
    assert [part["gpu_instance"] for part in divided["mig"]["devices"]] == [3, 4, 5, 6]
    assert {part["memory_mib"] for part in divided["mig"]["devices"]} == {19968}
    assert t4["pending"] == {"retire": False, "remap": None, "failed": None}
    assert all(process["pid"] and process["used_mib"] is not None for process in ada["processes"] + t4["processes"])
    assert ada["processes"] or t4["processes"]


def test_mig_uuids_come_from_the_list() -> None:
    """The XML has none of them: the recorded XML of one A100 and the recorded list of two."""
    sections = {
        "smi-xml": (machines.HERE / "recorded/a100-sxm4-v12.xml").read_text(),
        "smi-xml-code": "0",
        "smi-list": (machines.HERE / "recorded/a100-mig.txt").read_text(),
        "smi-list-code": "0",
        "smi-compute": "0, 8.0\n1, 8.0",
        "smi-compute-code": "0",
    }
    first, second = machines.without_python(sections)["cards"]
    assert [(p["uuid"], p["profile"], p["gpu_instance"]) for p in first["mig"]["devices"][:2]] == [
        ("MIG-a686709d-6dc2-542a-8851-0d2508448c10", "1g.10gb", 3),
        ("MIG-53864714-0a66-5df2-9007-9268e30d9a72", "1g.10gb", 4),
    ]
    assert [p["uuid"] for p in second["mig"]["devices"]] == [
        "MIG-d5a46a2e-1d77-575d-99e3-1f96c8555a2e",
        "MIG-b8479d6e-d08f-5a92-9a24-0946db72b2a0",
    ]
    assert (first["compute"], second["compute"]) == ("8.0", "8.0")


# What it prints on standard output, its exit status -> NVML's code for the same.
WORDS: dict[str, tuple[str, int, int]] = {
    "mismatch": (
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95", 18, 18),
    "not loaded": (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
        "NVIDIA driver is installed and running.", 9, 9),
    "no library": (
        "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display "
        "Driver is properly installed and present in your system.", 12, 12),
    "hangs": ("", 10, 10),
    "junk": ("Segmentation fault", 139, 139),
}  # fmt: skip


@pytest.mark.parametrize(("said", "status", "code"), WORDS.values(), ids=WORDS)
def test_its_words_for_what_is_wrong(said: str, status: int, code: int) -> None:
    state = machines.without_python({"smi-xml": said, "smi-xml-code": str(status)})
    assert (state["cards"], state["error"]["code"]) == ([], code)


def test_no_devices_is_no_error() -> None:
    state = machines.without_python({"smi-xml": "No devices were found", "smi-xml-code": "6"})
    assert (state["cards"], state["error"]) == ([], None)


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("Unable to determine the device handle for GPU 0000:B1:00.0: GPU is lost.  Reboot the system", 4),
        ("Unable to determine the device handle for gpu 0000:b1:00.0: Unknown Error", 4),
        ("Unable to determine the device handle for GPU2: 0000:B1:00.0: Unknown Error", 2),
    ],
)
def test_a_lost_card_among_others(line: str, index: int) -> None:
    listed = "\n".join(f"GPU {i}: NVIDIA A30 (UUID: GPU-00000a30-0d2f-4c3b-9a8e-00000000000{i})" for i in (0, 1, 3))
    sections = {"smi-xml": line, "smi-xml-code": "15", "smi-list": f"{listed}\n{line}", "smi-list-code": "15"}
    state = machines.without_python(sections)
    lost: list[Any] = [(card["index"], card["pci"]) for card in state["cards"] if card["error"]]
    assert (state["error"], lost, len(state["cards"])) == (None, [(index, "0000:b1:00.0")], 4)


def test_a_lost_card_is_found_by_its_place_on_the_bus() -> None:
    sections = machines.text("4xa30-lost").replace('"pci": "00000000:B1:00.0", "uuid"', '"uuid"')
    told = sections.replace('{"error": {"code": 15, "text": "GPU is lost"}, "index": 2, "pci": "00000000:B1:00.0"}',
                            '{"error": {"code": 15, "text": "GPU is lost"}, "index": 2}')  # fmt: skip
    assert told != sections
    cards = machines.probe.answer(told.splitlines())["cards"]
    assert [card["pci"] for card in cards] == ["0000:17:00.0", "0000:31:00.0", "0000:b1:00.0", "0000:ca:00.0"]


def test_a_broken_xml_is_an_error_and_no_traceback() -> None:
    state = machines.without_python({"smi-xml": "<nvidia_smi_log><gpu></nvidia_smi_log>", "smi-xml-code": "0"})
    assert state["error"]["text"].startswith("nvidia-smi says what cannot be read")
