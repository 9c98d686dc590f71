"""`inferfleet init`: the starter project, copied out of the package (or out of the clone)."""

import os
import shutil
from importlib.resources import files
from pathlib import Path

from inferfleet.errors import FleetError

PARTS = ("deploy.py", "inventory", "templates", "roles")
IGNORED = "__pycache__/\npyinfra-debug.log\n"
# The lab's inventory and its group data need a lab that is up, which a new project has not.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "lab.py")


def source() -> Path:
    """Where the starter project lies: as data in a wheel, beside the library in a clone."""
    package = Path(str(files("inferfleet")))
    packaged = package / "_project"
    return packaged if packaged.is_dir() else package.parent


def copy_project(target: Path) -> list[Path]:
    """Copy the starter project into `target`; nothing that exists is overwritten, and other files may lie there.

    Returns:
        The top-level paths that were written. A `.gitignore` is among them only where there was none.

    Raises:
        FleetError: one of the project's own paths exists already, and nothing is written then; or the directory
            cannot be written to.
    """
    for part in PARTS:
        # A link that leads nowhere exists, too: a copy would be written through it.
        if os.path.lexists(target / part):
            raise FleetError(f"{target / part}: exists already", "name another directory, or move it away")
    try:
        return _copy(target)
    except OSError as error:
        raise FleetError(
            f"{error.filename or target}: cannot be written ({error.strerror})", "name a directory of yours"
        ) from error


def _copy(target: Path) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        here = source() / part
        if here.is_dir():
            shutil.copytree(here, target / part, ignore=_LEFT_OUT)
        else:
            shutil.copy2(here, target / part)
    written = [target / part for part in PARTS]
    ignored = target / ".gitignore"
    if not os.path.lexists(ignored):
        ignored.write_text(IGNORED)
        written.append(ignored)
    return written
