"""Declared cards against those that a host has."""

from collections.abc import Callable
from typing import Any

import pytest

from inferfleet.changes import cards, with_uuids
from inferfleet.placed import PlacedGpu
from tests.plan import machines

State = dict[str, Any]
UUID = "GPU-00000a30-0d2f-4c3b-9a8e-00000000000{}"
MIG = "MIG-a686709d-6dc2-542a-8851-0d2508448c10"
NO_MIG = "MIG-00000000-0000-4000-8000-000000000000"


def declared(
    index: int = 0, model: str = "A30", uuid: str | None = None, backend: Any = "cuda", gib: float | None = None
) -> list[PlacedGpu]:
    return [PlacedGpu(index, model, uuid, backend, gib)]


def called(name: str, memory_mib: int = 24576) -> State:
    """Four A30, of which the first is called otherwise, and has other memory."""
    state = machines.state("4xa30")
    state["cards"][0].update(name=name, memory_mib=memory_mib)
    return state


FOUR = [PlacedGpu(index, "A30", None, "cuda", 24) for index in range(4)]
GOOD: dict[str, tuple[list[PlacedGpu], State]] = {
    "four A30": (FOUR, machines.state("4xa30")),
    "fewer than there are": (declared(), machines.state("4xa30")),
    "a name of two words": (declared(model="RTX 4090"), called("NVIDIA GeForce RTX 4090")),
    "the short name": (declared(model="A100"), called("NVIDIA A100-SXM4-80GB")),
    "the long name": (declared(model="A100-SXM4-80GB"), called("NVIDIA A100-SXM4-80GB", 81920)),
    "by UUID, whatever the index": (declared(0, "A30", UUID.format(3)), machines.state("4xa30")),
    "vulkan is not NVIDIA's": (declared(backend="vulkan", model="llvmpipe"), machines.state("4xa30")),
    "about as much memory": (declared(gib=25.5), machines.state("4xa30")),
    "eight H100": ([PlacedGpu(i, "H100", None, "cuda", 80) for i in range(8)], machines.state("8xh100-nvswitch")),
    "a MIG device by its profile": (declared(0, "A100 80GB 2g.20gb", MIG), machines.state("2xa100-mig")),
    "a MIG device": (declared(0, "A100", MIG, gib=20), machines.state("2xa100-mig")),
    "the whole one beside it": (declared(1, "A100", gib=80), machines.state("2xa100-mig")),
    "two generations": (
        [PlacedGpu(0, "RTX 3090", None, "cuda"), PlacedGpu(1, "P40", None, "cuda")],
        machines.state("3090-and-p40"),
    ),
    "as nvidia-smi says it": (declared(model="RTX 3090", gib=24), machines.recorded("rtx-3090-v12")),
    "no driver is the driver's matter": (FOUR, machines.state("4xa30-bare")),
    "nor is a mismatch ours": (FOUR, machines.state("4xa30-mismatch")),
}


@pytest.mark.parametrize(("wanted", "there"), GOOD.values(), ids=GOOD)
def test_as_declared(wanted: list[PlacedGpu], there: State) -> None:
    assert cards(wanted, there).effects == ()


def made(change: Callable[[dict[str, Any]], Any], name: str = "4xa30", card: int = 0) -> State:
    """A machine with one card changed."""
    state = machines.state(name)
    change(state["cards"][card])
    return state


def logged(xid: int, pci: str = "0000:17:00.0") -> State:
    state = machines.state("4xa30")
    state["xids"] = [{"pci": pci, "xid": xid, "text": "what it said", "times": 1}]
    return state


BAD: dict[str, tuple[list[PlacedGpu], State, str]] = {
    "another model": (
        declared(), called("NVIDIA A300"),
        "card 0 is declared as A30, the host has NVIDIA A300; correct the inventory"),
    "another memory": (
        declared(gib=40), machines.state("4xa30"),
        "card 0 is declared with 40 GiB, it has 24.0; correct the inventory"),
    "one card too many": (
        declared(4), machines.state("4xa30"), "card 4 is declared, the host has 4; correct the inventory"),
    "another UUID": (
        declared(uuid=UUID.format(7)), made(lambda card: None),
        f"card {UUID.format(7)} is declared, the host has {', '.join(UUID.format(i) for i in range(4))}; "
        "correct the inventory"),
    "a MIG device that is not there": (
        declared(model="A100", uuid=NO_MIG), machines.state("2xa100-mig"),
        f"card {NO_MIG} is declared, the host has MIG-53864714-0a66-5df2-9007-9268e30d9a72, {MIG}; "
        "correct the inventory, or divide the card again"),
    "MIG was switched off": (
        declared(model="A30", uuid=NO_MIG), machines.state("4xa30"),
        f"card {NO_MIG} is declared, the host has no MIG devices; correct the inventory, or divide the card again"),
    "a divided card as a whole": (
        declared(model="A100"), machines.state("2xa100-mig"),
        "card 0 is divided by MIG and cannot be used whole; declare its parts by their MIG- UUIDs, or "
        "`nvidia-smi -i 0 -mig 0`"),
    "a MIG device of another size": (
        declared(model="A100", uuid=MIG, gib=40), machines.state("2xa100-mig"),
        "card 0 is declared with 40 GiB, it has 19.5; correct the inventory"),
    "lost": (
        FOUR, machines.state("4xa30-lost"),
        "card 2 (0000:b1:00.0) has fallen off the bus; reboot the host, and if it is lost again, reseat or replace "
        "the card"),
    "lost, declared by UUID": (
        declared(2, uuid=UUID.format(2)), machines.state("4xa30-lost"),
        "card 2 (0000:b1:00.0) has fallen off the bus; reboot the host, and if it is lost again, reseat or replace "
        "the card"),
    "without power": (
        declared(), made(lambda card: card.update(error={"code": 8, "text": "Insufficient External Power"})),
        "card 0 (0000:17:00.0) does not answer (Insufficient External Power); reboot the host, and replace the card "
        "if it stays so"),
    "XID 79": (
        declared(), logged(79),
        "card 0 has logged XID 79 (the card has fallen off the bus) since the host started; reboot the host"),
    "uncorrectable errors": (
        declared(), made(lambda card: card["ecc"]["volatile"].update(uncorrected=3)),
        "card 0 has met 3 memory errors that could not be corrected; reboot the host, and replace the card if they "
        "come back"),
    "a row that waits": (
        declared(), made(lambda card: card["pending"].update(remap=True)),
        "card 0 has memory that is replaced only when it is reset; reboot the host"),
    "a page that waits": (
        declared(1, "P40"), made(lambda card: card["pending"].update(retire=True), "3090-and-p40", 1),
        "card 1 has memory that is replaced only when it is reset; reboot the host"),
    "no spare rows": (
        declared(), made(lambda card: card["pending"].update(failed=True)),
        "card 0 has no spare memory left for rows that failed; replace the card"),
    "may not compute": (
        declared(), made(lambda card: card.update(compute_mode="Prohibited")),
        "card 0 may not compute; `nvidia-smi -i 0 -c DEFAULT`"),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "there", "why"), BAD.values(), ids=BAD)
def test_refused(wanted: list[PlacedGpu], there: State, why: str) -> None:
    (effect,) = cards(wanted, there).effects
    assert (effect.kind, effect.why) == ("refuse", why)


# NVIDIA's XID catalogue: what is to be done at once.
XIDS = {
    13: False, 31: False, 43: False, 45: False, 48: True, 62: True, 63: False, 64: True, 74: True, 79: True,
    92: False, 94: False, 95: True, 109: True, 119: True, 120: True, 154: False,
}  # fmt: skip


@pytest.mark.parametrize(("xid", "fatal"), XIDS.items(), ids=str)
def test_which_errors_stop_a_host(xid: int, fatal: bool) -> None:
    found = cards(declared(), logged(xid))
    assert (bool(found.effects), bool(found.warnings)) == (fatal, not fatal)


def test_an_error_of_a_card_that_nobody_uses() -> None:
    found = cards(declared(), logged(79, "0000:ca:00.0"))
    assert found.effects == ()
    assert found.warnings == (
        "the card at 0000:ca:00.0 has logged XID 79 (the card has fallen off the bus) since the host started",
    )


def test_a_lost_card_that_nobody_uses() -> None:
    found = cards(declared(), machines.state("4xa30-lost"))
    assert found.effects == ()
    assert found.warnings[-1].startswith("card 2 (0000:b1:00.0) has fallen off the bus; ")


WARNED: dict[str, tuple[State, tuple[str, ...]]] = {
    "none": (machines.state("4xa30"), ()),
    "persistence": (
        made(lambda card: card.update(persistence=False)),
        ("persistence mode is off on card 0, so every first start waits; enable nvidia-persistenced",)),
    "MIG at the next reset": (
        made(lambda card: card["mig"].update(pending=True)), ("card 0 turns MIG on when it is reset",)),
    "an error that ended a program, twice": (
        {**(state := logged(31)), "xids": [{**state["xids"][0], "times": 2}]},
        ("card 0 has logged XID 31 (a program touched memory that is not its own), 2 times since the host started",)),
    "an error that nobody knows": (
        logged(777), ("card 0 has logged XID 777 (what it said) since the host started",)),
}  # fmt: skip


@pytest.mark.parametrize(("there", "warnings"), WARNED.values(), ids=WARNED)
def test_what_does_no_harm_yet(there: State, warnings: tuple[str, ...]) -> None:
    found = cards(declared(), there)
    assert (found.effects, found.warnings) == ((), warnings)


def test_cards_get_the_uuid_at_their_index() -> None:
    vulkan = PlacedGpu(0, "llvmpipe", None, "vulkan")
    known = PlacedGpu(1, "A30", UUID.format(3), "cuda")
    found = with_uuids([*FOUR, vulkan, known], machines.state("4xa30"))
    assert [gpu.uuid for gpu in found] == [*(UUID.format(i) for i in range(4)), None, UUID.format(3)]
    assert [gpu.uuid for gpu in with_uuids(FOUR, machines.state("4xa30-bare"))] == [None] * 4
