"""What this machine must be and have to build what the mirror serves."""

import importlib.util
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.debian import KEYRING
from inferfleet.lab.mirror.go import has_go

# Program or file -> the package that brings it.
FETCHES: Final = {"apt-get": "apt", "dpkg-deb": "dpkg", str(KEYRING): "debian-archive-keyring"}
COMPILES: Final = {"gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}


def missing_packages(needed: Mapping[str, str], go: bool = False) -> list[str]:
    """Names of the apt packages that this machine lacks; empty when all is there.

    Args:
        needed: program, or file with its whole path -> the package that brings it.
        go: Go programs are built as well; a venv brings Go where the machine has none.
    """
    missing = [package for program, package in needed.items() if not _present(program)]
    if go and not has_go() and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def check_machine(where: str, missing: Sequence[str]) -> None:
    """This machine can build amd64 programs for the mirror.

    Args:
        where: what is to be built.
        missing: packages that are not there.

    Raises:
        LabError: it cannot; says what to do.
    """
    if platform.machine() != "x86_64":
        hint = "use an amd64 machine"
        raise LabError(f"{where}: is built for amd64 only (got a {platform.machine()} machine)", hint)
    if missing:
        raise LabError(f"{where}: packages are missing (got none of {', '.join(missing)})", "apt-get install them")


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
