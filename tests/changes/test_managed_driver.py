"""The driver where it is ours to install."""

from collections.abc import Callable
from typing import Any

import pytest

from inferfleet.changes import managed_driver, source_of
from inferfleet.engines.nvidia_host import NvidiaHost
from inferfleet.placed import PlacedGpu
from tests.plan import machines

State = dict[str, Any]


def host(branch: str = "580", modules: Any = None, model: str = "A30", **more: Any) -> NvidiaHost:
    gpus = tuple(PlacedGpu(index, model, None, "cuda") for index in range(4))
    return NvidiaHost(gpus, manage=True, branch=branch, modules=modules, **more)


def made(name: str, *changes: Callable[[State], Any]) -> State:
    state = machines.state(name)
    for change in changes:
        change(state)
    return state


def there(declared: NvidiaHost, state: State) -> State:
    """The source as it must be."""
    source = source_of(declared, state) or {}
    return {"text": source["text"], "key": source["fingerprints"], "conflicts": []}


def told(declared: NvidiaHost, state: State, apt: State | None = None) -> list[str]:
    found = managed_driver(declared, state, there(declared, state) if apt is None else apt)
    return [str(effect) for effect in found.effects]


def test_as_declared() -> None:
    found = managed_driver(host(), machines.state("4xa30"), there(host(), machines.state("4xa30")))
    assert (found.effects, found.warnings) == ((), ())


SOURCE = "/etc/apt/sources.list.d/inferfleet-nvidia.sources"


def test_a_bare_host() -> None:
    state = machines.state("4xa30-bare")
    assert told(host(), state, {}) == [
        f"write {SOURCE}: is missing",
        "install nvidia-driver-pinning-580: is missing",
        "install nvidia-open: is missing",
        "await a reboot: nouveau holds the cards until then",
    ]
    work = managed_driver(host(), state, {}).work
    assert work["source"]["key_url"].endswith("/debian13/x86_64/8793F200.pub")
    assert work["source"]["fingerprints"] == ["02182E60104FCDC26EAE1B8597A5D4CB8793F200"]
    assert (work["pinning"], work["packages"], work["headers"]) == ("nvidia-driver-pinning-580", ["nvidia-open"], None)


def test_the_key_of_older_distributions() -> None:
    source = source_of(host(), machines.state("4xa30"))
    assert source and source["key_url"].endswith("/ubuntu2404/x86_64/3bf863cc.pub")
    assert source["text"].splitlines()[2:4] == [
        "URIs: https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64", "Suites: /",
    ]  # fmt: skip


def test_a_mirror_with_its_own_key() -> None:
    source = source_of(host(source="http://mirror/nv", fingerprint="AB" * 20), machines.state("4xa30"))
    assert source and source["key_url"] == "http://mirror/nv/ubuntu2404/x86_64/ABABABAB.pub"


def without(*names: str) -> Callable[[State], Any]:
    return lambda state: [state["upkeep"]["packages"].pop(name) for name in names]


STEPS: dict[str, tuple[NvidiaHost, State, State | None, list[str]]] = {
    "another branch": (
        host("590"), machines.state("4xa30"), None,
        ["install nvidia-driver-pinning-590: is missing",
         "install nvidia-open: is 580.95.05-1ubuntu1, declared is branch 590",
         "await a reboot: 580.95.05 stays loaded until then, and what is started anew finds no card"]),
    "the other modules": (
        host(modules="proprietary"), machines.state("4xa30"), None,
        ["install cuda-drivers: is missing", "remove nvidia-open: brings other kernel modules than cuda-drivers",
         "await a reboot: 580.95.05 stays loaded until then, and what is started anew finds no card"]),
    "not held": (
        host(), made("4xa30", lambda s: s["upkeep"]["packages"]["libnvidia-compute"].update(held=False)), None,
        ["repair holds: 1 packages of the driver are not held, libnvidia-compute first"]),
    "another key": (
        host(), machines.state("4xa30"), {**there(host(), machines.state("4xa30")), "key": ["00" * 20]},
        ["repair /usr/share/keyrings/inferfleet-nvidia.gpg: holds another key than the declared one"]),
    "NVIDIA's own file beside it": (
        host(), machines.state("4xa30"), {"conflicts": ["/etc/apt/sources.list.d/cuda-ubuntu2404-x86_64.list"]},
        ["remove /etc/apt/sources.list.d/cuda-ubuntu2404-x86_64.list: names NVIDIA's repository with another key; it "
         "is kept as /etc/apt/sources.list.d/cuda-ubuntu2404-x86_64.list.disabled"]),
    "Fabric Manager missing": (
        host("570", model="H100"), made("8xh100-nvswitch", without("nvidia-fabricmanager"), lambda s: (
            s["upkeep"]["packages"].update({"nvidia-driver-pinning-570": {"version": "570", "held": True}}))), None,
        ["install nvidia-fabricmanager: is missing",
         "await a reboot: 570.172.08 stays loaded until then, and what is started anew finds no card"]),
    "from Debian's own packages": (
        host(), made("4xa30", without("nvidia-open"), lambda s: s["upkeep"]["packages"].update(
            {"nvidia-kernel-dkms": {"version": "550.163.01-2", "held": False}})), None,
        ["install nvidia-open: is missing", "remove nvidia-kernel-dkms: brings other kernel modules than nvidia-open",
         "await a reboot: 580.95.05 stays loaded until then, and what is started anew finds no card"]),
    "a run that was killed before the last step": (
        host(), made("4xa30", lambda s: (
            s.update(cards=[], error={"code": 9, "text": "Driver Not Loaded"}), s["driver"].update(loaded=None))), None,
        ["load the NVIDIA driver: is installed and not in the kernel"]),
    "persistenced stopped": (
        host(), made("4xa30", lambda s: s["services"]["persistenced"].update(active=False)), None,
        ["enable nvidia-persistenced: is stopped"]),
    "no headers on a fresh host": (
        host(), made("4xa30-bare", lambda s: (s["upkeep"].update(headers=False), s["driver"].update(nouveau=False))),
        None,
        ["install nvidia-driver-pinning-580: is missing", "install nvidia-open: is missing",
         "install linux-headers-6.12.48+deb13-amd64: the module is built for the running kernel"]),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "state", "apt", "effects"), STEPS.values(), ids=STEPS)
def test_steps(declared: NvidiaHost, state: State, apt: State | None, effects: list[str]) -> None:
    assert told(declared, state, apt) == effects


def test_a_package_with_the_branch_in_its_name() -> None:
    """Ubuntu's names before 590."""
    state = machines.state("4xa30")
    packages = state["upkeep"]["packages"]
    packages["nvidia-open-580"] = packages.pop("nvidia-open")
    assert told(host(), state) == []


def test_secure_boot_is_said_before() -> None:
    found = managed_driver(host(), made("4xa30-bare", lambda s: s["upkeep"].update(secure_boot=True)), {})
    assert found.warnings == (
        "Secure Boot is on: the module that is built here loads after its key was enrolled (`mokutil --import`)",
    )


BAD: dict[str, tuple[NvidiaHost, State, str]] = {
    "updated, not rebooted": (
        host(), made("4xa30-mismatch", lambda s: [p.update(held=True) for p in s["upkeep"]["packages"].values()]),
        "its driver was updated and the old one is still loaded (570.172.08 is loaded, 580.95.05 installed); "
        "reboot the host"),
    "open modules for a P40": (
        host(modules="open", model="P40"), machines.state("3090-and-p40"),
        "the card at 0000:02:00.0 is Pascal, which needs proprietary kernel modules, not open; take that card out, or "
        "drive it on a host of its own"),
    "a P40 beside a B200": (
        host(), made("3090-and-p40", lambda s: s["pci"][0].update(device="2901")),
        "the card at 0000:02:00.0 is Pascal and the card at 0000:01:00.0 is Blackwell, which no kernel module drives "
        "together; take that card out, or drive it on a host of its own"),
    "a branch without Pascal": (
        host("590"), machines.state("3090-and-p40"),
        "the card at 0000:02:00.0 is Pascal, whose last driver branch is 580, not 590; declare another branch"),
    "a branch without Ollama": (
        host("535"), machines.state("4xa30"), "driver branch 535 is declared, Ollama needs 550 or newer"),
    "no cards": (
        host(), made("4xa30-bare", lambda s: s.update(pci=[])),
        "4 NVIDIA cards are declared and the host has neither a card nor a driver; correct the inventory"),
    "a distribution that NVIDIA does not serve": (
        host(), made("4xa30", lambda s: s["system"].update(id="arch", version="")),
        "NVIDIA has no driver packages for arch on x86_64 that are known here; install the driver by hand, or set "
        "driver: {'manage': False}"),
    "NVIDIA's installer": (
        host(), made("4xa30", lambda s: s["upkeep"].update(packages={})),
        "its driver 580.95.05 came by no package (NVIDIA's .run file?); remove it with `nvidia-uninstall`, or set "
        "driver: {'manage': False}"),
    "a driver that hangs": (
        host(), made("4xa30", lambda s: s.update(cards=[], error={"code": 10, "text": ""})),
        "its driver does not answer within 60 s, as when a card is lost; reboot the host"),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "state", "why"), BAD.values(), ids=BAD)
def test_refused(declared: NvidiaHost, state: State, why: str) -> None:
    apt = there(declared, state) if source_of(declared, state) else {}
    (effect,) = managed_driver(declared, state, apt).effects
    assert (effect.kind, effect.why) == ("refuse", why)
