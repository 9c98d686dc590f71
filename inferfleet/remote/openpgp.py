"""OpenPGP public keys as apt needs them: without armour, known by their fingerprints; a part of other scripts.

Format of packets and armour: RFC 9580, sections 4.2 and 6.2; of fingerprints: section 5.5.4.
"""

from __future__ import annotations

import base64
import hashlib
import re

PUBLIC_KEY = 6  # the packet of a primary key
_BLOCK = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)


def dearmoured(data: bytes) -> bytes:
    """The key in binary, whatever form it came in; ValueError where it is no key."""
    if data[:1] >= b"\x80":
        return data
    keys = b"".join(_decoded(block) for block in _BLOCK.findall(data))
    if not keys:
        raise ValueError("it holds no public key")
    return keys


def _decoded(block: bytes) -> bytes:
    """Headers end with an empty line; the last line, `=` and four letters, is a checksum."""
    lines = block.replace(b"\r", b"").split(b"\n")
    body = lines[lines.index(b"") + 1 :] if b"" in lines[:-1] else lines
    return base64.b64decode(b"".join(line.strip() for line in body if not line.startswith(b"=")), validate=True)


def fingerprints(data: bytes) -> list[str]:
    """The fingerprints of all primary keys, in capitals; ValueError where it cannot be read."""
    found, place = [], 0
    while place < len(data):
        tag, begin, end = _packet(data, place)
        if tag == PUBLIC_KEY:
            body = data[begin:end]
            if body[:1] != b"\x04":
                raise ValueError(f"it holds a key of version {body[0] if body else 'none'}; only 4 is known")
            found.append(hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper())
        place = end
    if not found:
        raise ValueError("it holds no public key")
    return found


def _packet(data: bytes, place: int) -> tuple[int, int, int]:
    """Tag, begin and end of the packet at that place."""
    try:
        first = data[place]
        if first & 0xC0 == 0xC0:
            tag, begin, length = first & 0x3F, *_new_length(data, place + 1)
        elif first & 0x80 and first & 3 != 3:
            size = 1 << (first & 3)
            tag, begin = (first >> 2) & 15, place + 1 + size
            length = int.from_bytes(data[place + 1 : begin], "big")
        else:
            raise ValueError("it is no OpenPGP key")
    except IndexError as error:
        raise ValueError("it breaks off") from error
    if begin + length > len(data):
        raise ValueError("it breaks off")
    return tag, begin, begin + length


def _new_length(data: bytes, place: int) -> tuple[int, int]:
    """Where the body begins, and its length; keys are never sent in partial lengths."""
    first = data[place]
    if first < 192:
        return place + 1, first
    if first < 224:
        return place + 2, ((first - 192) << 8) + data[place + 1] + 192
    if first == 255:
        return place + 5, int.from_bytes(data[place + 1 : place + 5], "big")
    raise ValueError("it is no OpenPGP key")
