"""Keys: with and without armour, several in one file, and what is no key."""

import base64
import hashlib

import pytest

from inferfleet.remote.openpgp import dearmoured, fingerprints


def packet(tag: int, body: bytes, new: bool = True) -> bytes:
    """A packet with a header of the new or the old form, its length in as few bytes as it needs."""
    if not new:
        size = 0 if len(body) < 256 else 1
        return bytes([0x80 | tag << 2 | size]) + len(body).to_bytes(1 << size, "big") + body
    if len(body) < 192:
        return bytes([0xC0 | tag, len(body)]) + body
    if len(body) < 8384:
        high, low = divmod(len(body) - 192, 256)
        return bytes([0xC0 | tag, high + 192, low]) + body
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def key(letter: bytes, size: int = 100, new: bool = True) -> bytes:
    """A primary key, a user id, a signature and a subkey."""
    rest = packet(13, b"A <a@b>", new) + packet(2, b"\4signature", new) + packet(14, b"\4sub" + letter * 50, new)
    return packet(6, b"\4" + letter * size, new) + rest


def fingerprint(letter: bytes, size: int = 100) -> str:
    return hashlib.sha1(b"\x99" + (size + 1).to_bytes(2, "big") + b"\4" + letter * size).hexdigest().upper()


def armoured(data: bytes, headers: str = "", end: str = "\n") -> bytes:
    lines = [base64.b64encode(data[at : at + 48]).decode() for at in range(0, len(data), 48)]
    text = ["-----BEGIN PGP PUBLIC KEY BLOCK-----", *headers.splitlines(), "", *lines, "=abcd"]
    return end.join([*text, "-----END PGP PUBLIC KEY BLOCK-----", ""]).encode()


@pytest.mark.parametrize("size", [100, 300, 9000])
@pytest.mark.parametrize("new", [True, False])
def test_fingerprint(size: int, new: bool) -> None:
    assert fingerprints(key(b"x", size, new)) == [fingerprint(b"x", size)]


@pytest.mark.parametrize("headers", ["", "Version: GnuPG v2\nComment: a = b"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_armour(headers: str, end: str) -> None:
    assert dearmoured(armoured(key(b"x"), headers, end)) == key(b"x")


def test_binary_stays_as_it_is() -> None:
    assert dearmoured(key(b"x")) == key(b"x")


def test_every_primary_key_counts() -> None:
    both = [fingerprint(b"x"), fingerprint(b"y")]
    assert fingerprints(key(b"x") + key(b"y")) == both
    assert fingerprints(dearmoured(armoured(key(b"x")) + b"words between\n" + armoured(key(b"y")))) == both


@pytest.mark.parametrize(
    "data", [b"", b"<html>sorry</html>", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", armoured(b"")[:-30]]
)
def test_no_key(data: bytes) -> None:
    with pytest.raises(ValueError):
        dearmoured(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (key(b"x")[:-5], "breaks off"),
        (packet(6, b"\4" + b"x" * 100)[:2], "breaks off"),
        (packet(13, b"A <a@b>"), "no public key"),
        (packet(6, b"\6" + b"x" * 100), "version 6"),
        (b"\x01\x02", "no OpenPGP key"),
    ],
)
def test_unreadable(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fingerprints(data)
