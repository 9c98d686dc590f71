#!/usr/bin/python3
"""The hardware side of a host with doubles of cards, with or without a driver: what the PCI bus shows.

Runs once a boot, before anything looks. The lab's kernel has no such cards, so entries are laid over /sys/bus/pci.
"""

import os
import struct
import subprocess
from pathlib import Path

import gpuconf  # type: ignore[import-not-found]

VENDOR = 0x10DE
DISPLAY, BRIDGE = 0x030200, 0x068000  # PCI classes: 3D controller, other bridge (an NVSwitch)
SWITCHES = {"8": 0x1AF1, "9": 0x22A3}  # PCI id of the NVSwitch of Ampere and Hopper, by compute capability
RUN = "/run/gpu-double"
PCI = "/sys/bus/pci"


def config_space(device: int, subsystem: int, kind: int) -> bytes:
    """The first 64 bytes that lspci reads."""
    vendor_sub, device_sub = subsystem & 0xFFFF, subsystem >> 16
    head = struct.pack("<HHHHBBBB", VENDOR, device, 0x406, 0x10, 0xA1, kind & 0xFF, kind >> 8 & 0xFF, kind >> 16)
    return (head + bytes(32)).ljust(44, b"\0") + struct.pack("<HH", vendor_sub, device_sub) + bytes(16)


def show(address: str, device: int, subsystem: int, kind: int) -> None:
    """The bus shows a device."""
    there = Path(PCI, "devices", address)
    there.mkdir()
    ids = {"vendor": VENDOR, "device": device}
    ids.update(subsystem_vendor=subsystem & 0xFFFF, subsystem_device=subsystem >> 16)
    for name, value in ids.items():
        (there / name).write_text(f"0x{value:04x}\n")
    (there / "class").write_text(f"0x{kind:06x}\n")
    (there / "config").write_bytes(config_space(device, subsystem, kind))
    (there / "resource").write_text("0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * 13)
    (there / "numa_node").write_text("-1\n")
    (there / "uevent").write_text(f"PCI_CLASS={kind:X}\nPCI_ID={VENDOR:X}:{device:X}\nPCI_SLOT_NAME={address}\n")


def count_anew(conf: gpuconf.Conf) -> None:
    """The cards are in the places where `order` puts them, and get the numbers of those; without, as delivered."""
    cards = sorted(conf.cards, key=lambda card: int(card["slot"]))
    places = sorted((card["pci"], card["minor"]) for card in cards)
    order = [int(number) for number in conf.host.get("order", "").split()] or range(len(cards))
    now = zip(order, places, strict=True)
    conf.cards[:] = [{**cards[number], "pci": pci, "minor": minor} for number, (pci, minor) in now]


def main() -> None:
    """The bus shows the declared cards."""
    with gpuconf.changing() as conf:
        count_anew(conf)
        conf.host["loaded"] = ""
    for name in ("upper", "work"):
        Path(RUN, "pci", name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={PCI},upperdir={RUN}/pci/upper,workdir={RUN}/pci/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, PCI], check=True)
    for card in conf.cards:
        device = int(card["device_id"], 16) >> 16
        show(card["pci"][4:].lower(), device, int(card["subsystem_id"], 16), DISPLAY)
        # A card that was lost answers with ones only.
        if card.get("lost") == "1":
            Path(PCI, "devices", card["pci"][4:].lower(), "config").write_bytes(b"\xff" * 64)
    switched = [card for card in conf.cards if card.get("nvswitch") == "1"]
    if switched and (switch := SWITCHES.get(switched[0]["compute"].split(".")[0])):
        for number in range(4):
            show(f"0000:{0x05 + number:02x}:00.0", switch, 0x1796 << 16 | VENDOR, BRIDGE)


if __name__ == "__main__":
    os.umask(0o022)
    main()
