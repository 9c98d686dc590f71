"""Cards, and the driver where a provider delivers it, on the disk of a host that is not booted yet."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.lab.gpu.conf import declared
from inferfleet.lab.gpu.driver import DRIVER, FABRIC, SOURCES, driver_tree, enable
from inferfleet.lab.state import HostSpec
from inferfleet.lab.system import run

CONF: Final = "etc/gpu-double.conf"
_UNITS: Final = ("gpu-double-hardware.service", "gpu-double-kmsg.service")
_JOURNAL: Final = {
    "journald-kmsg.conf": "etc/systemd/system/systemd-journald.service.d/gpu-double.conf",
    "read-kmsg.conf": "etc/systemd/journald.conf.d/gpu-double.conf",
}


def place(seed: Path, spec: HostSpec, cache: Path, say: Callable[[str], None]) -> None:
    """The seed of a host has its declared cards; nothing where it has none.

    Args:
        seed: the directory that is laid over the base root.
        spec: of the host.
        cache: inferfleet's cache.
        say: is told what takes long.

    Raises:
        LabError: a card is not known, or the driver double cannot be made here.
    """
    if not spec.gpus:
        return
    conf = declared(spec.name, spec.gpus)
    (seed / CONF).write_text(conf.text())
    (seed / CONF).chmod(0o644)
    for program in ("hardware.py", "gpuconf.py", "kmsg.py"):
        _copy(program, seed, f"usr/lib/gpu-double/{program}", 0o755)
    for unit in _UNITS:
        _copy(unit, seed, f"usr/lib/systemd/system/{unit}", 0o644)
        enable(seed, unit, "sysinit.target")
    for source, target in _JOURNAL.items():
        _copy(source, seed, target, 0o644)
    if not spec.driver:
        return
    # Linked, not copied: the seed is copied at each boot of a bare host, the tree never changes.
    run(["cp", "--archive", "--link", "--force", f"{driver_tree(cache, say, *delivered(spec))}/.", seed])
    if any(card["nvswitch"] == "1" for card in conf.cards):
        for unit, target in FABRIC.items():
            enable(seed, unit, target)


def delivered(spec: HostSpec) -> tuple[str, bool]:
    """The driver's version and whether it is the open flavour: the one that fits most of the host's cards."""
    archs = [int(card["arch"]) for card in declared(spec.name, spec.gpus).cards]
    return DRIVER, min(archs) >= 6 or max(archs) >= 10


def _copy(source: str, seed: Path, inside: str, mode: int) -> None:
    target = seed / inside
    for above in reversed(target.relative_to(seed).parents):
        if not (seed / above).exists():
            (seed / above).mkdir()
            (seed / above).chmod(0o755)  # whatever the umask here is
    shutil.copyfile(SOURCES / source, target)
    target.chmod(mode)
