#!/usr/bin/python3
"""The kernel side of the driver double: what loading nvidia.ko does on a real host, as far as one can see it.

driver.py load              as at boot: nodes, /proc/driver/nvidia, /sys/module/nvidia, /proc entries for MIG
driver.py insert            as `modprobe nvidia`: the same, and it fails where the module fits no card
driver.py unload            as rmmod
driver.py mig               as dividing cards, or no longer
driver.py persistence 0|1 [UUID]
driver.py fabric STATE      as the Fabric Manager leaves it
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gpuconf  # type: ignore[import-not-found]
from kmsg import say  # type: ignore[import-not-found]

MODULES = Path("/usr/lib/modules", os.uname().release)
PROC, SYS = Path("/proc/driver"), Path("/sys/module")
IS_LOADED = Path("/run/gpu-double/loaded")  # of this boot
CARD, UVM, CAPS, SWITCH = 195, 510, 509, 508  # major numbers; 195 is NVIDIA's own, the others are given by the kernel
CONTROL, MODESET = 255, 254
TURING, BLACKWELL = 6, 10
CONTAINER_COPY = Path("/usr/share/nvidia/nvoptix.bin")  # a name that the real nvidia-ctk mounts into containers


def module() -> tuple[str, bool]:
    """Version of the module on the disk, empty if there is none, and whether it is the open flavour."""
    path = MODULES / "updates" / "dkms" / "nvidia.ko"
    data = path.read_bytes() if path.exists() else b""
    found = re.search(rb"\0?version=([0-9.]+)\0", data)
    return (found[1].decode() if found else "", b"license=Dual MIT/GPL" in data)


def fits(card: dict[str, str], is_open: bool) -> bool:
    """The open module begins with Turing; from Blackwell on there is no other."""
    arch = int(card["arch"])
    return arch >= TURING if is_open else arch < BLACKWELL


def node(path: str, major: int, minor: int) -> None:
    """A device node with that number is there."""
    want, there = os.makedev(major, minor), Path(path)
    if there.exists() and there.stat().st_rdev == want:
        return
    there.parent.mkdir(exist_ok=True)
    there.unlink(missing_ok=True)
    os.mknod(path, 0o666 | stat.S_IFCHR, want)
    os.chmod(path, 0o666)


def mig_minors(cards: list[dict[str, str]]) -> dict[str, int]:
    """The lines of /proc/driver/nvidia-caps/mig-minors: MIG user guide, "Device nodes and capabilities"."""
    lines = {"config": 1, "monitor": 2}
    for card in (card for card in cards if card["mig_slices"] != "0"):
        gpu, number = card["minor"], int(card["minor"])
        for gi in range(15):
            first = 3 + number * 135 + gi * 9
            lines[f"gpu{gpu}/gi{gi}/access"] = first
            lines.update({f"gpu{gpu}/gi{gi}/ci{ci}/access": first + 1 + ci for ci in range(8)})
    return lines


def show_proc(conf: gpuconf.Conf, version: str, is_open: bool) -> None:
    """/proc/driver/nvidia says what is loaded, card by card: a file system of its own, /proc takes no files."""
    if not os.path.ismount(PROC):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "tmpfs", PROC], check=True)
    flavour = "Open Kernel Module for x86_64" if is_open else "x86_64 Kernel Module"
    lines = f"NVRM version: NVIDIA UNIX {flavour}  {version}  Release Build\nGCC version:  gcc version 14.2.0\n"
    # 0: else the toolkit's hook mounts over the same file in the container, whose /proc is the kernel's own.
    files = {"nvidia/version": lines, "nvidia/params": "ModifyDeviceFiles: 0\nDeviceFileMode: 438\n"}
    for card in conf.cards:
        text = f"Model: \t\t {card['name']}\nGPU UUID: \t {card['uuid']}\nBus Location: \t {card['pci'][4:].lower()}\n"
        files[f"nvidia/gpus/{card['pci'][4:].lower()}/information"] = f"{text}Device Minor: \t {card['minor']}\n"
    minors = mig_minors(conf.cards)
    if len(minors) > 2:
        files["nvidia-caps/mig-minors"] = "".join(f"{name} {minor}\n" for name, minor in minors.items())
    for name, text in files.items():
        (PROC / name).parent.mkdir(parents=True, exist_ok=True)
        (PROC / name).write_text(text)
    for minor in [*([1, 2] if len(minors) > 2 else []), *used_minors(conf.cards, minors)]:
        node(f"/dev/nvidia-caps/nvidia-cap{minor}", CAPS, minor)


def used_minors(cards: list[dict[str, str]], minors: dict[str, int]) -> list[int]:
    """The capabilities that the cards' MIG devices need."""
    wanted = [f"gpu{card['minor']}" for card in cards if card.get("mig")]
    return [minor for name, minor in minors.items() if name.split("/")[0] in wanted]


def show_sys(versions: dict[str, str]) -> None:
    """/sys/module has these modules, or none; /sys is a small tmpfs here that is mounted read-only."""
    subprocess.run(["mount", "-o", "remount,rw", "/sys"], check=True)
    for name in ("nvidia", "nvidia_uvm", "nvidia_modeset"):
        shutil.rmtree(SYS / name, ignore_errors=True)
        if name in versions:
            (SYS / name).mkdir(parents=True)
            (SYS / name / "version").write_text(f"{versions[name]}\n")
            (SYS / name / "initstate").write_text("live\n")
    subprocess.run(["mount", "-o", "remount,ro", "/sys"], check=True)


def load() -> None:
    """The module that is on the disk is loaded, if there is one, it may be, and fits a card."""
    settle()
    version, is_open = module()
    if IS_LOADED.exists():
        return
    with gpuconf.changing() as conf:
        cards = [card for card in conf.cards if fits(card, is_open)]
        loads = bool(version and cards and conf.host.get("blocked") != "1")
        conf.host.update(loaded=version if loads else "", fabric_state="1")
        for card in conf.cards:
            card["persistence"] = "0"
    CONTAINER_COPY.parent.mkdir(exist_ok=True)
    CONTAINER_COPY.unlink(missing_ok=True)
    os.link(gpuconf.PATH, CONTAINER_COPY)
    if loads:
        flavour = "Open Kernel Module" if is_open else "Kernel Module"
        say(f"NVRM: loading NVIDIA UNIX {flavour} for x86_64  {version}  Release Build")
        make_nodes(cards)
        show_proc(conf, version, is_open)
        show_sys(dict.fromkeys(("nvidia", "nvidia_uvm", "nvidia_modeset"), version))
        IS_LOADED.touch()


def make_nodes(cards: "list[dict[str, str]]") -> None:
    """The nodes of these cards, and those that all share."""
    for card in cards:
        node(f"/dev/nvidia{card['minor']}", CARD, int(card["minor"]))
    node("/dev/nvidiactl", CARD, CONTROL)
    node("/dev/nvidia-modeset", CARD, MODESET)
    node("/dev/nvidia-uvm", UVM, 0)
    node("/dev/nvidia-uvm-tools", UVM, 1)
    if any(card["nvswitch"] == "1" for card in cards):
        node("/dev/nvidia-nvswitchctl", SWITCH, CONTROL)


def insert() -> None:
    """The module is loaded; else modprobe's words."""
    load()
    if not IS_LOADED.exists():
        say("NVRM: No NVIDIA GPU found.")
        sys.exit("modprobe: ERROR: could not insert 'nvidia': No such device")


def settle() -> None:
    """What the packages' triggers do: the linker and modprobe know what is there."""
    cache, library = Path("/etc/ld.so.cache"), Path("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")
    if library.exists() and (not cache.exists() or b"libnvidia-ml" not in cache.read_bytes()):
        subprocess.run(["ldconfig"], check=False)
    listed = MODULES / "modules.dep"
    if MODULES.exists() and (not listed.exists() or "nvidia.ko" not in listed.read_text()):
        subprocess.run(["depmod"], check=False, stderr=subprocess.DEVNULL)


def unload() -> None:
    """Nothing of the module is left but its files."""
    IS_LOADED.unlink(missing_ok=True)
    with gpuconf.changing() as conf:
        conf.host.update(loaded="", fabric_state="1")
    for path in (*Path("/dev").glob("nvidia[0-9c-]*"), Path("/dev/nvidiactl")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if os.path.ismount(PROC):
        subprocess.run(["umount", PROC], check=True)
    show_sys({})


def mig() -> None:
    """The nodes and entries of MIG are those of the conf file."""
    version, is_open = module()
    show_proc(gpuconf.load(), version, is_open)


def persistence(mode: str, uuid: str = "") -> None:
    """Cards are kept awake or not: all, or one."""
    with gpuconf.changing() as conf:
        for card in conf.cards:
            if uuid in ("", card["uuid"]):
                card["persistence"] = mode


def fabric(state: str) -> None:
    """The fabric is in this state, NVML_GPU_FABRIC_STATE_*."""
    with gpuconf.changing() as conf:
        conf.host["fabric_state"] = state


if __name__ == "__main__":
    os.umask(0o022)
    verb, *words = sys.argv[1:]
    verbs: "dict[str, Callable[..., None]]" = {"load": load, "insert": insert, "unload": unload, "mig": mig}
    verbs.update(persistence=persistence, fabric=fabric)
    verbs[verb](*words)
