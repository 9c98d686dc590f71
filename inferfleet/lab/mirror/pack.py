"""Pack a tree as .tar.zst: the same files give the same bytes."""

import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError

MTIME: Final = 1767225600
"""2026-01-01, the one time of all members."""


def pack(members: Mapping[str, Path], target: Path) -> None:
    """The archive holds each file or tree under its name, owned by root, ordered by name.

    Args:
        members: name in the archive (no leading `./`) to what lies there.
        target: the file to write.

    Raises:
        LabError: zstd failed.
    """
    with target.open("wb") as out, _zstd(out.fileno()) as packer:
        if packer.stdin is None:
            raise LabError("zstd: no pipe to write to")
        with tarfile.open(fileobj=packer.stdin, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            for name, path in sorted(_with_parents(members).items()):
                archive.add(path, name, recursive=path != Path("/"), filter=_plain)
        packer.stdin.close()
        if packer.wait() != 0:
            raise LabError(f"{target.name}: zstd failed (got exit {packer.returncode})")


def _zstd(out: int) -> "subprocess.Popen[bytes]":
    # A fixed number of threads, since the bytes must not depend on the machine.
    return subprocess.Popen(["nice", "zstd", "-q", "-6", "-T2", "-c"], stdin=subprocess.PIPE, stdout=out)


def _with_parents(members: Mapping[str, Path]) -> dict[str, Path]:
    """The members and the directories above them; the latter stand for any directory, only their name counts."""
    parents = {str(above): Path("/") for name in members for above in Path(name).parents if str(above) != "."}
    return parents | dict(members)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = MTIME
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
