"""The driver that is only looked at: what refuses a host, what is a warning, and that all else is well."""

from collections.abc import Callable
from typing import Any

import pytest

from inferfleet.changes import driver
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.placed import PlacedGpu
from tests.plan import machines

State = dict[str, Any]


def host(count: int = 4, **more: Any) -> NvidiaHost:
    return NvidiaHost(tuple(PlacedGpu(index, "A30", None, "cuda") for index in range(count)), **more)


def made(name: str, change: Callable[[State], Any]) -> State:
    state = machines.state(name)
    change(state)
    return state


def errs(code: int, text: str) -> State:
    return made("4xa30", lambda s: s.update(cards=[], error={"code": code, "text": text}))


@pytest.mark.parametrize("name", ["4xa30", "8xh100-nvswitch", "2xa100-mig", "3090-and-p40", "4xa30-lost"])
def test_a_driver_that_serves(name: str) -> None:
    found = driver(host(), machines.state(name))
    assert (found.effects, found.warnings) == ((), ())


def test_a_host_without_nvidia_cards_needs_no_driver() -> None:
    vulkan = NvidiaHost((PlacedGpu(0, "llvmpipe", None, "vulkan"),))
    assert driver(vulkan, machines.state("4xa30-bare")).effects == ()


def _fabric(state: State, **manager: Any) -> None:
    state["cards"][3]["fabric"] = {"state": "In Progress", "status": "Success"}
    state["services"]["fabricmanager"].update(manager)


WAITS = "card 3 has not joined its NVSwitch fabric (In Progress)"
BAD: dict[str, tuple[State, str]] = {
    "no driver": (
        machines.state("4xa30-bare"),
        "4 NVIDIA cards are declared and 4 there without a driver; install one, or let `driver` manage it"),
    "no cards": (
        made("4xa30-bare", lambda s: s.update(pci=[])),
        "4 NVIDIA cards are declared and the host has neither a card nor a driver; correct the inventory"),
    "no bus to look at": (
        made("4xa30-bare", lambda s: s.update(pci=None)),
        "4 NVIDIA cards are declared and no driver shows any; install one, or let `driver` manage it"),
    "updated, not rebooted": (
        machines.state("4xa30-mismatch"),
        "its driver was updated and the old one is still loaded (570.172.08 is loaded, 580.95.05 installed); "
        "reboot the host"),
    "a mismatch of unknown versions": (
        made("4xa30-mismatch", lambda s: s["driver"].update(loaded=None)),
        "its driver was updated and the old one is still loaded; reboot the host"),
    "not loaded": (
        errs(9, "Driver Not Loaded"),
        "its driver is installed and not loaded; reboot the host, or see `modprobe nvidia`"),
    "nouveau in its place": (
        made("4xa30", lambda s: (s.update(errs(9, "")), s["driver"].update(nouveau=True))),
        "its driver is installed and not loaded, nouveau holds the cards; reboot the host, or see `modprobe nvidia`"),
    "never built": (
        made("4xa30", lambda s: (
            s.update(errs(9, "")), s["driver"].update(module=None), s["upkeep"].update(headers=False))),
        "its driver is installed and not loaded, there are no headers of kernel 6.8.0-60-generic to build it with; "
        "reboot the host, or see `modprobe nvidia`"),
    "not signed": (
        made("4xa30", lambda s: (s.update(errs(9, "")), s["upkeep"].update(secure_boot=True))),
        "its driver is installed and not loaded, Secure Boot takes signed modules alone; reboot the host, or see "
        "`modprobe nvidia`"),
    "held by a lost card": (
        errs(10, "does not answer within 60 s"),
        "its driver does not answer within 60 s, as when a card is lost; reboot the host"),
    "what nobody knows": (
        errs(999, "Unknown Error"), "its driver says 'Unknown Error'; see `nvidia-smi` and `dmesg` on the host"),
    "too old for Ollama": (
        made("4xa30", lambda s: s["driver"].update(loaded="470.256.02")),
        "its driver is 470.256.02, Ollama needs 550 or newer; update the driver"),
    "too old for Ollama on Pascal": (
        made("3090-and-p40", lambda s: s["driver"].update(loaded="550.163.01")),
        "its driver is 550.163.01, Ollama needs 570 or newer; update the driver"),
    "no Fabric Manager": (
        made("8xh100-nvswitch", lambda s: _fabric(s, there=False, active=False, version=None)),
        f"{WAITS}; install nvidia-fabricmanager 570.172.08"),
    "Fabric Manager of another driver": (
        made("8xh100-nvswitch", lambda s: _fabric(s, version="570.133.20")),
        f"{WAITS}: nvidia-fabricmanager is 570.133.20, the driver 570.172.08; install the same version"),
    "Fabric Manager stopped": (
        made("8xh100-nvswitch", lambda s: _fabric(s, active=False)),
        f"{WAITS}; `systemctl enable --now nvidia-fabricmanager`"),
    "Fabric Manager at a loss": (
        made("8xh100-nvswitch", _fabric), f"{WAITS}; see `journalctl -u nvidia-fabricmanager`"),
    "an A100's switches without a manager": (
        made("8xh100-nvswitch", lambda s: (
            [card.update(fabric=None) for card in s["cards"]], s["services"]["fabricmanager"].update(active=False))),
        "card 0 has not joined its NVSwitch fabric (not known); `systemctl enable --now nvidia-fabricmanager`"),
}  # fmt: skip


@pytest.mark.parametrize(("there", "why"), BAD.values(), ids=BAD)
def test_refused(there: State, why: str) -> None:
    (effect,) = driver(host(), there).effects
    assert (effect.kind, effect.what, effect.why) == ("refuse", "this host", why)


BOMBS: dict[str, tuple[State, tuple[str, ...]]] = {
    "updates armed": (
        made("4xa30", lambda s: s["upkeep"]["packages"]["nvidia-open"].update(held=False)),
        ("unattended-upgrades may replace the driver under the running engines; `apt-mark hold` its 1 packages "
         "(nvidia-open, ...), or let `driver` manage it",)),
    "updates not armed": (
        made("4xa30", lambda s: (
            s["upkeep"].update(unattended=False), s["upkeep"]["packages"]["nvidia-open"].update(held=False))),
        ()),
    "another module after the next boot": (
        made("4xa30", lambda s: s["driver"].update(module="580.105.08")),
        ("the driver's module on disk is 580.105.08, 580.95.05 is loaded; reboot the host soon",)),
    "library newer than module": (
        made("4xa30", lambda s: s["driver"].update(library="580.105.08")),
        ("the driver's library on disk is 580.105.08, 580.95.05 is loaded; reboot the host soon",)),
    "a reboot is due": (
        made("4xa30", lambda s: s["upkeep"].update(reboot_required=True)),
        ("the host waits for a reboot (/run/reboot-required)",)),
}  # fmt: skip


@pytest.mark.parametrize(("there", "warnings"), BOMBS.values(), ids=BOMBS)
def test_time_bombs_are_warnings(there: State, warnings: tuple[str, ...]) -> None:
    found = driver(host(), there)
    assert (found.effects, found.warnings) == ((), warnings)
