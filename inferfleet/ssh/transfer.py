"""Small files as text on the shell: one round trip, no temporary file, whoever the command runs as.

A file that was cut off on the way is never written: the shell runs the command only once it has read all of
it, up to the closing bracket.
"""

import base64
import binascii
import shlex
from typing import IO, Any

from pyinfra.api.util import get_file_io

LARGEST = 256 * 1024
"""Bytes; above this SFTP is faster, and the memory of the remote shell counts."""

_END = "_END_OF_FILE_"  # the underscore is not in the base64 alphabet
_LARGE = "-large-"
_NEEDS_BASE64 = "command -v base64 >/dev/null || exit 127; "


def small_content(filename_or_io: str | IO[Any]) -> bytes | None:
    """The content to upload, or None when it is larger than `LARGEST`."""
    with get_file_io(filename_or_io) as file:
        data = file.read(LARGEST + 1)
    content = data.encode() if isinstance(data, str) else bytes(data)
    return content if len(content) <= LARGEST else None


def writing(remote_filename: str, size: int) -> str:
    """Shell text that writes stdin into the file as `cp` does in place; fails unless all of it is there."""
    name = _path(remote_filename)
    return f'cat > {name} && test "$(wc -c < {name})" -eq {size}'


def feeding(content: bytes, command: str) -> str:
    """Shell text that gives `content` to `command` on stdin; exit code 127 without writing where base64 is missing."""
    text = base64.encodebytes(content).decode()
    return f"{_NEEDS_BASE64}base64 -d <<'{_END}' | {command}\n{text}{_END}\n"


def reading(remote_filename: str) -> str:
    """Shell text that prints the file for `content_read`."""
    name = _path(remote_filename)
    return (
        f'{_NEEDS_BASE64}n=$(wc -c < {name}) || exit; if test "$n" -gt {LARGEST}; '
        f"then echo {_LARGE}; else base64 < {name}; fi"
    )


def content_read(lines: list[str]) -> bytes | None:
    """The bytes that `reading` printed, or None when the file is too large for this way."""
    if lines == [_LARGE]:
        return None
    try:
        return base64.b64decode("".join(lines), validate=True)
    except binascii.Error:
        return None


def _path(remote_filename: str) -> str:
    return shlex.quote(remote_filename)
