"""`inferfleet init`: the starter project, copied out of the package (or out of the clone)."""

import shutil
from importlib.resources import files
from pathlib import Path

from inferfleet.errors import FleetError

PARTS = ("deploy.py", "inventory", "templates", "roles")
# The lab's inventory needs a clone's demo; a new project begins with its own hosts.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "lab.py")


def source() -> Path:
    """Where the starter project lies: as data in a wheel, beside the library in a clone."""
    package = Path(str(files("inferfleet")))
    packaged = package / "_project"
    return packaged if packaged.is_dir() else package.parent


def copy_project(target: Path) -> list[Path]:
    """Copy the starter project into `target`; nothing that exists is overwritten.

    Returns:
        The top-level paths that were written.

    Raises:
        FleetError: one of the paths exists already; nothing is written then.
    """
    for part in PARTS:
        if (target / part).exists():
            raise FleetError(f"{target / part}: exists already", "name an empty or new directory")
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        here = source() / part
        if here.is_dir():
            shutil.copytree(here, target / part, ignore=_LEFT_OUT)
        else:
            shutil.copy2(here, target / part)
    return [target / part for part in PARTS]
