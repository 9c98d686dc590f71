"""The declared NVIDIA cards against those that the driver shows ; a difference refuses the host."""

from collections.abc import Mapping, Sequence
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.placed import PlacedGpu

# Ollama 0.32, docs/gpu.mdx: the oldest driver that its CUDA 12 libraries run on.
DRIVER_FLOOR = 550
# Makers count in GB, drivers keep a part for themselves: an H100 of "80 GB" shows 79.6 GiB, an L40S of 48 shows 45.0.
_MEMORY_SLACK = 0.08


def cards(declared: Sequence[PlacedGpu], found: Sequence[Mapping[str, Any]] | None) -> Changes:
    """The host has the cards that its instances are bound to, under a driver that can run them."""
    # The query shows no MIG slices: those are taken on trust.
    wanted = [gpu for gpu in declared if gpu.backend == "cuda" and not (gpu.uuid or "").startswith("MIG-")]
    reason = _why_refused(wanted, found) if wanted else ""
    return Changes((Effect("refuse", "this host", reason),) if reason else ())


def _why_refused(wanted: Sequence[PlacedGpu], found: Sequence[Mapping[str, Any]] | None) -> str:
    if not found:
        return f"{len(wanted)} NVIDIA cards are declared and nvidia-smi shows none; install the driver"
    driver = str(found[0]["driver"])
    if int(driver.partition(".")[0]) < DRIVER_FLOOR:
        return f"its driver is {driver}, Ollama needs {DRIVER_FLOOR} or newer; update the driver"
    by_index, uuids = {card["index"]: card for card in found}, {card["uuid"] for card in found}
    for gpu in wanted:
        if gpu.uuid is not None and gpu.uuid not in uuids:
            return f"card {gpu.uuid} is declared, the host has {', '.join(sorted(uuids))}; correct the inventory"
        if gpu.uuid is None and gpu.index not in by_index:
            return f"card {gpu.index} is declared, the host has {len(found)}; correct the inventory"
        card = by_index[gpu.index] if gpu.uuid is None else next(c for c in found if c["uuid"] == gpu.uuid)
        if not _is_called(gpu.model, card["name"]):
            return f"card {gpu.index} is declared as {gpu.model}, it is a {card['name']}; correct the inventory"
        if gpu.vram_gib and card["memory_mib"] and abs(card["memory_mib"] / 1024 / gpu.vram_gib - 1) > _MEMORY_SLACK:
            has = f"{card['memory_mib'] / 1024:.1f}"
            return f"card {gpu.index} is declared with {gpu.vram_gib:g} GiB, it has {has}; correct the inventory"
    return ""


def _is_called(declared: str, name: str) -> bool:
    """`A30` is an `NVIDIA A30`, and no `NVIDIA A300`: every word declared is a word of the name."""
    return set(declared.lower().split()) <= set(name.lower().replace("-", " ").split()) | set(name.lower().split())
