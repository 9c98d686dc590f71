"""Keys that sign the lab's apt repositories: made once in the cache, of no worth anywhere else."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import locked, make_once
from inferfleet.lab.state import Process
from inferfleet.lab.system import run

LAB: Final = "lab"
"""Name of the key that signs what the mirror serves."""

STRANGER: Final = "stranger"
"""Name of a key that nobody trusts, for tests."""

_SOCKET = "S.gpg-agent.extra"
_LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path, unix(7)."""


@dataclass(frozen=True)
class SigningKey:
    """A key with which files can be signed.

    Args:
        home: GnuPG's directory with this one key.
        fingerprint: 40 hexadecimal digits, upper case.
    """

    home: Path
    fingerprint: str

    @property
    def armored(self) -> str:
        """The public key as text, as repositories offer it."""
        return (self.home / "public.asc").read_text()

    @property
    def binary(self) -> bytes:
        """The public key as a keyring for apt's `signed-by`."""
        return (self.home / "public.gpg").read_bytes()

    def sign_release(self, directory: Path) -> None:
        """`Release` there has its two signed forms beside it, `InRelease` and `Release.gpg`.

        Raises:
            LabError: gpg failed.
        """
        release = directory / "Release"
        with locked(self.home):
            _gpg(self.home, ["--clear-sign", "--output", directory / "InRelease", release])
            _gpg(self.home, ["--armor", "--detach-sign", "--output", directory / "Release.gpg", release])


def signing_key(cache: Path, say: Callable[[str], None], name: str = LAB) -> SigningKey:
    """The key of that name, made at its first use; no gpg-agent stays behind.

    Args:
        cache: inferfleet's cache.
        say: is told when one is made.
        name: of the key.

    Raises:
        LabError: gpg is missing or failed, or the cache's path is too long for its socket.
    """
    # Short names, since the agent's socket lies in there.
    home = make_once(cache / "gpg" / name, lambda part: _make_key(part, name, say))
    return SigningKey(home, (home / "fingerprint").read_text())


def _make_key(home: Path, name: str, say: Callable[[str], None]) -> None:
    socket = home / _SOCKET
    if len(str(socket).encode()) > _LONGEST_SOCKET:
        hint = "set INFERFLEET_CACHE to a shorter path"
        raise LabError(f"{home}: too long a path for gpg-agent (got {len(str(socket))} bytes)", hint)
    say(f"making the key {name!r} for apt repositories")
    home.chmod(0o700)
    # RSA with 3072 bits: what apt of Debian 12 (gpgv) and of Debian 13 (sqv) both take.
    user = f"inferfleet {name} repository <{name}@localhost>"
    _gpg(home, ["--passphrase", "", "--quick-generate-key", user, "rsa3072", "sign", "never"])
    listed = _gpg(home, ["--with-colons", "--list-secret-keys"])
    # doc/DETAILS of GnuPG: the tenth field of "fpr" is the fingerprint; the first is the primary key's.
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    _gpg(home, ["--output", home / "public.gpg", "--export", fingerprint])
    _gpg(home, ["--armor", "--output", home / "public.asc", "--export", fingerprint])
    (home / "fingerprint").write_text(fingerprint)


def _gpg(home: Path, words: list[str | Path]) -> str:
    """Run gpg with an agent of its own, which ends with it.

    An agent that is told a program (gpg-agent(1), `--daemon COMMAND`) looks after it every few seconds and
    ends when it is gone, so also where we are killed before we can end it.
    """
    agent: list[str | Path] = ["gpg-agent", "--homedir", home, "--quiet", "--daemon"]
    gpg: list[str | Path] = ["gpg", "--homedir", home, "--quiet", "--batch", "--yes", "--pinentry-mode", "loopback"]
    _end_agent(home)
    try:
        return build_run("apt repository's key", [*agent, *gpg, *words], hint="see whether gnupg is installed")
    finally:
        _end_agent(home)


def _end_agent(home: Path) -> None:
    """No agent serves this directory any more; one that is just ending would break the next one's connections."""
    ask = ["gpg-connect-agent", "--homedir", str(home), "--no-autostart", "GETINFO pid", "/bye"]
    found = re.search(r"^D (\d+)$", run(ask, check=False).stdout, re.MULTILINE)
    if found and (agent := Process.find(int(found[1]))):
        agent.kill()
