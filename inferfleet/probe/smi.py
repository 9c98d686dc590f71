"""What `nvidia-smi` says, read: the way to ask where a host has no python3, or its NVML cannot be loaded.

NVIDIA promises no stable output, so what is not understood is None, as on a card that does not have it. Read against
recorded outputs of real machines, schemas 11 to 13 (`tests/plan/machines`).
"""

import re
import xml.etree.ElementTree as ET
from typing import Any

from inferfleet.probe.words import CODES, lost_cards

_LISTED = re.compile(r"GPU (\d+): (.+) \(UUID: (GPU-[0-9a-f-]+)\)")
_LISTED_MIG = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")


def read(sections: dict[str, str]) -> dict[str, Any]:
    """The same answer that `nvml.py` gives: driver, cuda, cards, error."""
    text, code = sections.get("smi-xml", ""), _number(sections.get("smi-xml-code", "")) or 0
    listed = sections.get("smi-list", "")
    answer: dict[str, Any] = {"driver": None, "cuda": None, "cards": [], "error": None}
    start = text.find("<nvidia_smi_log>")
    if start >= 0:
        try:
            root = ET.fromstring(text[start : text.find("</nvidia_smi_log>") + len("</nvidia_smi_log>")])
        except ET.ParseError as error:
            return {**answer, "error": {"code": 999, "text": f"nvidia-smi says what cannot be read ({error})"}}
        answer["driver"], answer["cuda"] = _word(root, "driver_version"), _word(root, "cuda_version")
        answer["cards"] = [_card(index, gpu) for index, gpu in enumerate(root.findall("gpu"))]
    elif "No devices were found" not in text:
        answer["error"] = _error(text, code)
    _add_listed(answer, listed, sections.get("smi-compute", ""))
    return answer


def _error(text: str, code: int) -> dict[str, Any] | None:
    """Why it said nothing; None where single cards alone are lost, which then say so themselves."""
    if lost_cards(text):
        return None
    for words, known in CODES.items():
        if words in text:
            return {"code": known, "text": words}
    if code == 10:
        return {"code": 10, "text": "does not answer within 60 s"}
    return {"code": code or 999, "text": " ".join(text.split())[:120] or f"nvidia-smi ends with {code}"}


def _add_listed(answer: dict[str, Any], listed: str, compute: str) -> None:
    """`-L` knows the UUIDs of MIG devices, and the cards that still answer when another one is lost."""
    cards, current = {card["index"]: card for card in answer["cards"]}, None
    for line in listed.splitlines():
        if found := _LISTED.match(line):
            index = int(found[1])
            current = cards.setdefault(index, {"index": index, "name": found[2], "uuid": found[3], "mig": _mig(None)})
            position = 0
        elif (found := _LISTED_MIG.match(line)) and current is not None:
            devices = current["mig"]["devices"]
            if position == len(devices):
                devices.append({"gpu_instance": None, "compute_instance": None, "memory_mib": None})
            devices[position].update(uuid=found[2], profile=found[1])
            position += 1
    for lost in lost_cards(listed):
        index = lost["index"] if lost["index"] is not None else max(cards, default=-1) + 1
        cards[index] = {**cards.get(index, {"index": index}), "pci": lost["pci"], "error": lost["error"]}
    for line in compute.splitlines():
        number, _, capability = line.partition(",")
        if re.fullmatch(r"\s*\d+\.\d+\s*", capability) and (card := cards.get(_number(number))):
            card["compute"] = capability.strip()
    answer["cards"] = [cards[index] for index in sorted(cards)]


def _card(index: int, gpu: ET.Element) -> dict[str, Any]:
    return {
        "index": index,
        "uuid": _word(gpu, "uuid"),
        "name": _word(gpu, "product_name"),
        "serial": _word(gpu, "serial"),
        "minor": _number(_word(gpu, "minor_number")),
        "pci": _word(gpu, "pci/pci_bus_id"),
        "compute": None,
        "architecture": _word(gpu, "product_architecture"),
        "memory_mib": _number(_word(gpu, "fb_memory_usage/total")),
        "used_mib": _number(_word(gpu, "fb_memory_usage/used")),
        "ecc": {
            "mode": _switch(gpu, "ecc_mode/current_ecc"),
            "volatile": _counts(gpu.find("ecc_errors/volatile")),
            "aggregate": _counts(gpu.find("ecc_errors/aggregate")),
        },
        "pending": {
            "retire": _switch(gpu, "retired_pages/pending_retirement"),
            "remap": _switch(gpu, "remapped_rows/remapped_row_pending"),
            "failed": _switch(gpu, "remapped_rows/remapped_row_failure"),
        },
        "mig": _mig(gpu),
        "fabric": _fabric(gpu),
        "nvlinks": None,
        "processes": [
            {"pid": _number(_word(process, "pid")), "used_mib": _number(_word(process, "used_memory"))}
            for process in gpu.findall("processes/process_info")
            if "C" in (_word(process, "type") or "")
        ],
        "persistence": _switch(gpu, "persistence_mode"),
        "compute_mode": _word(gpu, "compute_mode"),
    }


def _word(element: ET.Element, path: str) -> str | None:
    """An element's text; None for what a card does not have."""
    text = (element.findtext(path) or "").strip()
    return None if not text or text.startswith("[") or text in ("N/A", "Unknown Error") else text


def _number(text: str | None) -> int | None:
    """The number before a unit, as in `24576 MiB`."""
    found = re.match(r"\s*(\d+)\b", text or "")
    return int(found[1]) if found else None


def _switch(element: ET.Element, path: str) -> bool | None:
    """`Enabled`, `Yes`, or a count that is not 0."""
    text = _word(element, path)
    return None if text is None else text not in ("Disabled", "No", "0")


def _counts(found: ET.Element | None) -> dict[str, int | None]:
    """Errors by kind: of SRAM and DRAM since schema 12, single and double bits before."""

    def total(*names: str) -> int | None:
        elements = [] if found is None else [element for element in found if element.tag.endswith(names)]
        known = [number for element in elements if (number := _number(element.text)) is not None]
        return sum(known) if known else None

    if found is not None and found.find("double_bit") is not None:
        return {
            "corrected": _number(_word(found, "single_bit/total")),
            "uncorrected": _number(_word(found, "double_bit/total")),
        }
    return {
        "corrected": total("_correctable"),
        "uncorrected": total("_uncorrectable", "_uncorrectable_parity", "_uncorrectable_secded"),
    }


def _mig(gpu: ET.Element | None) -> dict[str, Any]:
    if gpu is None:
        return {"mode": None, "pending": None, "devices": []}
    devices = [
        {
            "uuid": None,
            "profile": None,
            "gpu_instance": _number(_word(device, "gpu_instance_id")),
            "compute_instance": _number(_word(device, "compute_instance_id")),
            "memory_mib": _number(_word(device, "fb_memory_usage/total")),
        }
        for device in gpu.findall("mig_devices/mig_device")
    ]
    return {
        "mode": _switch(gpu, "mig_mode/current_mig"),
        "pending": _switch(gpu, "mig_mode/pending_mig"),
        "devices": devices,
    }


def _fabric(gpu: ET.Element) -> dict[str, Any] | None:
    state = _word(gpu, "fabric/state")
    return None if state is None else {"state": state, "status": _word(gpu, "fabric/status")}
