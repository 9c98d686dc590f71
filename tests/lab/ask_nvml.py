"""What the real nvidia-ml-py says of every card of this host, as JSON; runs on a lab host beside `pynvml.py`."""

import json
import sys

import pynvml as nvml


def value(function, *words):  # type: ignore[no-untyped-def]
    """The answer, or the error's number."""
    try:
        return function(*words)
    except nvml.NVMLError as error:
        return error.value


def mig(card):  # type: ignore[no-untyped-def]
    """UUIDs of a card's MIG devices."""
    count = value(nvml.nvmlDeviceGetMaxMigDeviceCount, card)
    devices = [value(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, number) for number in range(count)]
    return [nvml.nvmlDeviceGetUUID(device) for device in devices if not isinstance(device, int)]


def card(index):  # type: ignore[no-untyped-def]
    """One card by its index, or the error's number."""
    found = value(nvml.nvmlDeviceGetHandleByIndex, index)
    if isinstance(found, int):
        return found
    fabric = nvml.c_nvmlGpuFabricInfo_v2_t()
    value(nvml.nvmlDeviceGetGpuFabricInfoV, found, nvml.byref(fabric))
    uuid = nvml.nvmlDeviceGetUUID(found)
    return {
        "uuid": uuid,
        "by_uuid": nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid)),
        "by_bus": nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByPciBusId(nvml.nvmlDeviceGetPciInfo(found).busId)),
        "name": nvml.nvmlDeviceGetName(found),
        "serial": nvml.nvmlDeviceGetSerial(found),
        "minor": nvml.nvmlDeviceGetMinorNumber(found),
        "bus": nvml.nvmlDeviceGetPciInfo(found).busId,
        "pci": hex(nvml.nvmlDeviceGetPciInfo(found).pciDeviceId),
        "memory_mib": nvml.nvmlDeviceGetMemoryInfo(found).total >> 20,
        "used": nvml.nvmlDeviceGetMemoryInfo(found, nvml.nvmlMemory_v2).used,
        "compute": nvml.nvmlDeviceGetCudaComputeCapability(found),
        "arch": nvml.nvmlDeviceGetArchitecture(found),
        "mig_mode": value(nvml.nvmlDeviceGetMigMode, found),
        "mig": mig(found),
        "persistence": nvml.nvmlDeviceGetPersistenceMode(found),
        "ecc": value(nvml.nvmlDeviceGetEccMode, found),
        "errors": value(nvml.nvmlDeviceGetTotalEccErrors, found, 1, 1),
        "remapped": value(nvml.nvmlDeviceGetRemappedRows, found),
        "nvlink": value(nvml.nvmlDeviceGetNvLinkState, found, 0),
        "fabric": fabric.state,
        "pids": [one.pid for one in nvml.nvmlDeviceGetComputeRunningProcesses(found)],
    }


def main():  # type: ignore[no-untyped-def]
    """All of it; where NVML does not come up, the error's number."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        sys.stdout.write(json.dumps(error.value))
        return
    cards = [card(index) for index in range(nvml.nvmlDeviceGetCount())]
    versions = [nvml.nvmlSystemGetDriverVersion(), nvml.nvmlSystemGetCudaDriverVersion_v2()]
    sys.stdout.write(json.dumps({"driver": versions[0], "cuda": versions[1], "cards": cards}))


if __name__ == "__main__":
    main()
