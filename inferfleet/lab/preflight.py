"""Can a lab be made on this machine? One clear line for the first thing that is missing."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.aptcache import APT_HELPER
from inferfleet.lab.base import KEYRING, base_path
from inferfleet.lab.paths import cache_dir
from inferfleet.lab.system import PATH, run

GIB = 1024**3
NEED_FIRST_GIB = 4.0
NEED_AGAIN_GIB = 2.0

# Program or file -> the package that brings it, on Debian and Ubuntu.
PROGRAMS = {
    "debootstrap": "debootstrap",
    "wget": "wget",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    str(KEYRING): "debian-archive-keyring",
    # For the doubles of cards, which are compiled here.
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
}


def missing_packages() -> list[str]:
    """The packages to install before a lab can be made; empty when all is there."""
    missing = {package for program, package in PROGRAMS.items() if not _present(program)}
    return sorted(missing)


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=PATH) is not None


def check(suites: Iterable[str]) -> None:
    """A lab with hosts of these suites can be made here.

    Raises:
        LabError: it cannot; the message says what to do.
    """
    check_user()
    if not Path(APT_HELPER).exists():
        raise LabError(f"{APT_HELPER}: missing", "the lab runs on Debian or Ubuntu")
    if missing := missing_packages():
        raise LabError(f"programs: missing (got none of {', '.join(missing)})", f"apt-get install {' '.join(missing)}")
    _check_cache(all(base_path(suite).exists() for suite in suites))


def check_user() -> None:
    """We are root on Linux.

    Raises:
        LabError: we are not.
    """
    if sys.platform != "linux":
        raise LabError(f"platform: the lab runs on Linux only (got {sys.platform})", "use a Debian or Ubuntu machine")
    if os.geteuid() != 0:
        raise LabError(
            f"user: not root (got uid {os.geteuid()})",
            "run it with sudo; the lab needs root for mounts and network namespaces",
        )


def _check_cache(cached: bool) -> None:
    directory = cache_dir()
    if re.search(r"[:,\\\s]", str(directory)):
        raise LabError(f"{directory}: no blank, comma, colon or backslash may be in it", "set INFERFLEET_CACHE")
    directory.mkdir(parents=True, exist_ok=True)
    kind = run(["stat", "--file-system", "--format=%T", directory]).stdout.strip()
    if kind == "overlayfs":
        raise LabError(
            f"{directory}: lies on an overlay, which cannot carry another (got {kind})",
            "set INFERFLEET_CACHE to a directory on a real file system",
        )
    need = NEED_AGAIN_GIB if cached else NEED_FIRST_GIB
    free = shutil.disk_usage(directory).free / GIB
    if free < need:
        raise LabError(
            f"{directory}: too little disk (got {free:.1f} GiB free, need {need:.0f} GiB)",
            "make room or set INFERFLEET_CACHE to a directory elsewhere",
        )
