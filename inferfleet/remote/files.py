"""Files that scripts write; a part of those that import from it."""

from __future__ import annotations

import os


def write_file(path: str, data: str | bytes, mode: int = 0o644) -> None:
    """Whole or not at all, also after a power cut; a link at that place is replaced and not followed."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    partial = f"{os.path.dirname(path)}/.{os.path.basename(path)}.inferfleet"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # before there is anything to read in it
        os.fchown(file.fileno(), 0, 0)
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
