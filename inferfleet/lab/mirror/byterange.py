"""Range headers of HTTP (RFC 9110, section 14), as far as a server of files needs them."""

import re


class Unsatisfiable(Exception):
    """The range lies outside the file: answer 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte asked for, both included; None for the whole file.

    A header that is not understood, or asks for several ranges, counts as none, as the RFC allows.

    Raises:
        Unsatisfiable: no byte of the file is in the range.
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:  # the last N bytes
        start, end = max(size - int(last), 0), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end:
        raise Unsatisfiable
    return start, end
