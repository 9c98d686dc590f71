"""Ask the NVIDIA driver by NVML, on the host: Python >= 3.8 and the `pynvml.py` that travels beside this file.

A driver that lost a card can hold whoever asks it so that not even SIGKILL ends the caller. So a child asks, and this
process waits for its lines no longer than it must; what was said until then is the answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

LIMIT_S = 60.0  # eight cards without persistence mode take 20 s
# Codes of NVML (nvml.h 13) that say that the card itself is gone or broken; any other says that it has not what was
# asked for: not supported, no permission, a function that this driver does not know.
BROKEN = (8, 10, 11, 15, 16, 17, 999)
TIMEOUT = 10
COMPUTE_MODES = {0: "Default", 1: "Exclusive_Thread", 2: "Prohibited", 3: "Exclusive_Process"}
FABRIC_STATES = {1: "Not Started", 2: "In Progress", 3: "Completed"}
# `nvmlDeviceArchitecture_t`, in the words of `nvidia-smi -q`.
ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
}


def problem(error: Any) -> dict[str, Any]:
    """An NVML error as data."""
    return {"code": error.value, "text": str(error)}


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer; None where the card or its driver has none."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in BROKEN:
            raise
        return None


def either(value: Any) -> Any:
    """0 or 1 as a boolean; None stays."""
    return None if value is None else bool(value)


def memory(handle: Any) -> dict[str, Any]:
    """Total and used memory in MiB, without what the driver keeps for itself; None where it shares the host's."""
    found = asked(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    found = found or asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if found is None:
        return {"memory_mib": None, "used_mib": None}
    return {"memory_mib": found.total >> 20, "used_mib": found.used >> 20}


def ecc(handle: Any) -> dict[str, Any]:
    """Whether errors are corrected, and how many were met since the driver was loaded, and ever."""
    mode = asked(pynvml.nvmlDeviceGetEccMode, handle)
    counts = {}
    for name, counter in (("volatile", pynvml.NVML_VOLATILE_ECC), ("aggregate", pynvml.NVML_AGGREGATE_ECC)):
        kinds = (
            ("corrected", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
            ("uncorrected", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
        )
        counts[name] = {
            kind: asked(pynvml.nvmlDeviceGetTotalEccErrors, handle, number, counter) for kind, number in kinds
        }
    return dict(counts, mode=either(mode[0]) if mode else None)


def pending(handle: Any) -> dict[str, Any]:
    """Memory that is to be replaced at the next reset of the card, and rows for which no spare was left."""
    rows = asked(pynvml.nvmlDeviceGetRemappedRows, handle)
    return {
        "retire": either(asked(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle)),
        "remap": either(rows[2]) if rows else None,
        "failed": either(rows[3]) if rows else None,
    }


def mig(handle: Any) -> dict[str, Any]:
    """Whether the card is divided, now and after its next reset, and into which devices."""
    mode = asked(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None:
        return {"mode": None, "pending": None, "devices": []}
    most = (asked(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0) if mode[0] else 0
    slots = [asked(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot) for slot in range(most)]
    return {"mode": bool(mode[0]), "pending": bool(mode[1]), "devices": [mig_device(slot) for slot in slots if slot]}


def mig_device(handle: Any) -> dict[str, Any]:
    """One part of a card, which CUDA sees as a card of its own."""
    name = asked(pynvml.nvmlDeviceGetName, handle) or ""
    return {
        "uuid": asked(pynvml.nvmlDeviceGetUUID, handle),
        "profile": name.rpartition("MIG ")[2] or None,
        "gpu_instance": asked(pynvml.nvmlDeviceGetGpuInstanceId, handle),
        "compute_instance": asked(pynvml.nvmlDeviceGetComputeInstanceId, handle),
        "memory_mib": memory(handle)["memory_mib"],
    }


def fabric(handle: Any) -> dict[str, Any] | None:
    """How far the card has come in joining the NVSwitch fabric; None where there is none."""
    info = pynvml.c_nvmlGpuFabricInfo_v2_t()
    if asked(pynvml.nvmlDeviceGetGpuFabricInfoV, handle, pynvml.byref(info)) is None:
        return None
    if info.state not in FABRIC_STATES:
        return None
    return {"state": FABRIC_STATES[info.state], "status": asked(pynvml.nvmlErrorString, info.status)}


def links(handle: Any) -> int | None:
    """How many NVLinks are active; None where the card has none."""
    states = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        state = asked(pynvml.nvmlDeviceGetNvLinkState, handle, link)
        if state is None:
            break
        states.append(state)
    return sum(states) if states else None


def processes(handle: Any) -> list[dict[str, Any]]:
    """Who computes on the card, by the host's pid."""
    found = asked(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    return [{"pid": p.pid, "used_mib": None if p.usedGpuMemory is None else p.usedGpuMemory >> 20} for p in found]


def card(index: int) -> dict[str, Any]:
    """All that is asked of a card; its own error where it answers no longer."""
    found: dict[str, Any] = {"index": index}
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        identity(handle, found)
        found.update(memory(handle), ecc=ecc(handle), pending=pending(handle), mig=mig(handle))
        found.update(fabric=fabric(handle), nvlinks=links(handle), processes=processes(handle))
        found["persistence"] = either(asked(pynvml.nvmlDeviceGetPersistenceMode, handle))
        found["compute_mode"] = COMPUTE_MODES.get(asked(pynvml.nvmlDeviceGetComputeMode, handle))
    except pynvml.NVMLError as error:
        found["error"] = problem(error)
    return found


def identity(handle: Any, found: dict[str, Any]) -> None:
    """Which card it is: written down at once, so that a card that is lost halfway still has its names."""
    found["uuid"] = asked(pynvml.nvmlDeviceGetUUID, handle)
    found["name"] = asked(pynvml.nvmlDeviceGetName, handle)
    found["serial"] = asked(pynvml.nvmlDeviceGetSerial, handle)
    found["minor"] = asked(pynvml.nvmlDeviceGetMinorNumber, handle)
    place = asked(pynvml.nvmlDeviceGetPciInfo, handle)
    found["pci"] = place.busId.decode() if isinstance(place and place.busId, bytes) else place and place.busId
    compute = asked(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    found["compute"] = "{}.{}".format(*compute) if compute else None
    found["architecture"] = ARCHITECTURES.get(asked(pynvml.nvmlDeviceGetArchitecture, handle))


def ask() -> Iterator[dict[str, Any]]:
    """What NVML says, piece by piece."""
    try:
        pynvml.nvmlInit()
        cuda = asked(pynvml.nvmlSystemGetCudaDriverVersion_v2)
        yield {
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        }
        for index in range(pynvml.nvmlDeviceGetCount()):
            yield {"asking": index}
            yield {"card": card(index)}
        yield {"end": True}
    except pynvml.NVMLError as error:
        yield {"error": problem(error), "end": True}


def child(pipe: int) -> None:
    """Ask and write each piece; nothing of ours may stay open in a process that perhaps never ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    for piece in ask():
        os.write(pipe, json.dumps(piece).encode() + b"\n")


def heard(pipe: int, limit_s: float) -> Iterator[dict[str, Any]]:
    """The pieces as they come, until the child has ended or the time is over."""
    end, text = time.monotonic() + limit_s, b""
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            yield {"late": True}
            return
        data = os.read(pipe, 65536)
        if not data:
            return
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def put_together(pieces: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """One answer of all pieces; where they break off, it says at which card."""
    answer: dict[str, Any] = {"driver": None, "cuda": None, "cards": [], "error": None}
    asking, late, whole = None, False, False
    for piece in pieces:
        asking = piece.pop("asking", None if "card" in piece else asking)
        late, whole = piece.pop("late", late), piece.pop("end", whole)
        if "card" in piece:
            answer["cards"].append(piece.pop("card"))
        answer.update(piece)
    if not whole:
        text = f"does not answer within {LIMIT_S:.0f} s" if late else "broke off while it was asked"
        stopped = {"code": TIMEOUT if late else 999, "text": text}
        if asking is None:
            answer["error"] = stopped
        else:
            answer["cards"].append({"index": asking, "error": stopped})
    return answer


def main(limit_s: float = LIMIT_S) -> None:
    """Answer, as one line of JSON; nothing where the host has no NVML."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            child(writer)
        finally:
            os._exit(0)
    os.close(writer)
    answer = put_together(heard(reader, limit_s))
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    if (answer["error"] or {}).get("code") != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        sys.stdout.write(json.dumps(answer, sort_keys=True) + "\n")
    sys.stdout.flush()
    os._exit(0)
