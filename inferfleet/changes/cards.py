"""The declared NVIDIA cards against those that the driver shows; a difference or an ill card refuses the host."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from inferfleet import catalogue
from inferfleet.catalogue import Card
from inferfleet.changes.base import Changes, Effect
from inferfleet.changes.xid import FATAL, meaning
from inferfleet.placed import PlacedGpu

# Makers count in GB, drivers keep a part for themselves: an H100 of "80 GB" shows 79.6 GiB, an L40S of 48 shows 45.0.
_MEMORY_SLACK = 0.08
_CORRECT = "correct the inventory"
_LOST = 15  # NVML_ERROR_GPU_IS_LOST


def cards(declared: Sequence[PlacedGpu], state: dict[str, Any]) -> Changes:
    """The host has the cards that its instances are bound to, and each of them can compute.

    A driver that shows no cards at all is the business of `driver`: then nothing is said here.

    Args:
        declared: its cards, as the plan has them.
        state: the answer of `inferfleet.probe`.
    """
    wanted = [gpu for gpu in declared if gpu.backend == "cuda"]
    if not wanted or not state["cards"]:
        return Changes()
    reason = next((why for gpu in wanted if (why := _why_refused(gpu, state))), "")
    refused = (Effect("refuse", "this host", reason),) if reason else ()
    return Changes(refused, warnings=tuple(_warnings(wanted, state)))


def with_uuids(gpus: Sequence[PlacedGpu], state: dict[str, Any]) -> tuple[PlacedGpu, ...]:
    """The same cards; an NVIDIA card that is declared without a UUID gets that of the card at its index."""
    return tuple(
        gpu if gpu.uuid or not (card := _card(gpu, state)) else replace(gpu, uuid=card["uuid"]) for gpu in gpus
    )


def _card(gpu: PlacedGpu, state: dict[str, Any]) -> dict[str, Any] | None:
    """The card that is meant: by its UUID, that of one of its MIG devices, or its index."""
    if gpu.backend != "cuda":
        return None

    def is_meant(card: dict[str, Any]) -> bool:
        if gpu.uuid is None:
            return bool(card["index"] == gpu.index)
        return gpu.uuid in (card["uuid"], *(device["uuid"] for device in card["mig"]["devices"]))

    return next(filter(is_meant, state["cards"]), None)


def _why_refused(gpu: PlacedGpu, state: dict[str, Any]) -> str:
    card = _card(gpu, state)
    if card is None:
        return _why_missing(gpu, state)
    if card["error"]:
        return _why_broken(card)
    return _why_other(gpu, card) or _why_ill(card, state["xids"])


def _why_missing(gpu: PlacedGpu, state: dict[str, Any]) -> str:
    """Not there: a lost card is rather that one than a mistake in the inventory."""
    if lost := [card for card in state["cards"] if card["error"]]:
        return _why_broken(lost[0])
    name = gpu.uuid or str(gpu.index)
    if name.startswith("MIG-"):
        parts = [device["uuid"] for card in state["cards"] for device in card["mig"]["devices"]]
        there = ", ".join(sorted(parts)) if parts else "no MIG devices"
        return f"card {name} is declared, the host has {there}; {_CORRECT}, or divide the card again"
    there = ", ".join(sorted(card["uuid"] for card in state["cards"])) if gpu.uuid else str(len(state["cards"]))
    return f"card {name} is declared, the host has {there}; {_CORRECT}"


def _why_broken(card: dict[str, Any]) -> str:
    """The driver counts the card and gets no answer from it."""
    name = f"card {card['index']}" + (f" ({card['pci']})" if card["pci"] else "")
    if card["error"]["code"] == _LOST:
        return f"{name} has fallen off the bus; reboot the host, and if it is lost again, reseat or replace the card"
    return f"{name} does not answer ({card['error']['text']}); reboot the host, and replace the card if it stays so"


def _why_other(gpu: PlacedGpu, card: dict[str, Any]) -> str:
    """It is another card than the one declared, or divided otherwise."""
    known = _known(gpu)
    if not _is_called(gpu.model, known, card):
        return f"card {gpu.index} is declared as {gpu.model}, the host has {card['name']}; {_CORRECT}"
    if card["mig"]["mode"] and not (gpu.uuid or "").startswith("MIG-"):
        return (
            f"card {card['index']} is divided by MIG and cannot be used whole; "
            f"declare its parts by their MIG- UUIDs, or `nvidia-smi -i {card['index']} -mig 0`"
        )
    parts = [device for device in card["mig"]["devices"] if device["uuid"] == gpu.uuid]
    has = (parts[0] if parts else card)["memory_mib"]
    declared = gpu.vram_gib or (known.memory / 1024**3 if known else None)
    if declared and has and abs(has / 1024 / declared - 1) > _MEMORY_SLACK:
        return f"card {gpu.index} is declared with {declared:.3g} GiB, it has {has / 1024:.1f}; {_CORRECT}"
    return ""


def _why_ill(card: dict[str, Any], xids: list[dict[str, Any]]) -> str:
    """It is the declared card, and its answers could be wrong, or it would fail under load.

    NVIDIA, GPU Memory Error Management (r580): rows that are to be remapped are so after the next reset.
    """
    name = f"card {card['index']}"
    if fatal := [entry for entry in xids if entry["pci"] == card["pci"] and entry["xid"] in FATAL]:
        return f"{name} has logged XID {fatal[0]['xid']} ({meaning(fatal[0])}) since the host started; reboot the host"
    if errors := card["ecc"]["volatile"]["uncorrected"]:
        return (
            f"{name} has met {errors} memory errors that could not be corrected; "
            "reboot the host, and replace the card if they come back"
        )
    if card["pending"]["failed"]:
        return f"{name} has no spare memory left for rows that failed; replace the card"
    if card["pending"]["remap"] or card["pending"]["retire"]:
        return f"{name} has memory that is replaced only when it is reset; reboot the host"
    if card["compute_mode"] == "Prohibited":
        return f"{name} may not compute; `nvidia-smi -i {card['index']} -c DEFAULT`"
    return ""


def _warnings(wanted: list[PlacedGpu], state: dict[str, Any]) -> Iterator[str]:
    """What does no harm yet."""
    mine = [card for gpu in wanted if (card := _card(gpu, state))]
    addresses = {card["pci"]: f"card {card['index']}" for card in mine}
    for entry in state["xids"]:
        if entry["xid"] not in FATAL or entry["pci"] not in addresses:
            name = addresses.get(entry["pci"], f"the card at {entry['pci']}")
            times = f", {entry['times']} times" if entry["times"] > 1 else ""
            yield f"{name} has logged XID {entry['xid']} ({meaning(entry)}){times} since the host started"
    for card in state["cards"]:
        if card["error"] and card not in mine:
            yield f"{_why_broken(card)}; no instance is declared on it"
    idle = [str(card["index"]) for card in mine if card["persistence"] is False]
    if idle:
        names = " and ".join(idle)
        yield f"persistence mode is off on card {names}, so every first start waits; enable nvidia-persistenced"
    for card in mine:
        if card["mig"]["pending"] is not None and card["mig"]["pending"] != card["mig"]["mode"]:
            yield f"card {card['index']} turns MIG {'on' if card['mig']['pending'] else 'off'} when it is reset"


def _known(gpu: PlacedGpu) -> Card | None:
    memory = None if gpu.vram_gib is None else int(gpu.vram_gib * 1024**3)
    return catalogue.find(gpu.model) or catalogue.find(gpu.model, memory)


def _is_called(declared: str, known: Card | None, card: dict[str, Any]) -> bool:
    """`A30` is an `NVIDIA A30`, and no `NVIDIA A300`: the same card in the catalogue, or each word is in the name."""
    name = card["name"]
    there = catalogue.find(name) or catalogue.find(name, (card["memory_mib"] or 0) * 1024**2)
    if known and there and there.name in (known.name, known.part_of):
        return True
    return set(declared.lower().split()) <= set(name.lower().replace("-", " ").split()) | set(name.lower().split())
