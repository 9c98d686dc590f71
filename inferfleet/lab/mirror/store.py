"""Directories that exist whole or not at all, whoever is killed while making them."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inferfleet.lab import system


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Only one process at a time is in here for this target; the kernel lets go when it dies."""
    with system.locked(target.with_name(f".{target.name}.lock")):
        yield


def fresh_part(target: Path) -> Path:
    """A new empty directory beside the target; what killed makers left there is gone.

    Call it under `locked(target)`. A program that outlived its killed maker may still be writing
    there: it has its own directory, and what cannot be removed now is removed the next time.
    """
    for left in target.parent.glob(f".{target.name}.part-*"):
        shutil.rmtree(left, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=target.parent))
    part.chmod(0o755)
    return part


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The directory is there, complete: as it was, or made by `make` in another name and then renamed.

    Args:
        target: the directory to have.
        make: fills the empty directory it is given; runs at most once at a time per target.
    """
    if target.is_dir():
        return target
    with locked(target):
        if not target.is_dir():
            part = fresh_part(target)
            make(part)
            put_in_place(part, target)
    return target


def put_in_place(part: Path, target: Path) -> None:
    """The directory has its final name; what had that name before is gone. Call it under `locked(target)`."""
    old = part.with_name(f"{part.name}-old")
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """The file has this content; a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
