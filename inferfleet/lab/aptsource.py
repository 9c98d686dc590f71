"""Where this machine gets Debian packages from, asked of apt itself.

Hosts always ask for Debian's usual addresses, as a freshly installed server does; the lab's apt
proxy (`aptcache`) takes the files from the mirror found here.
"""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from inferfleet.lab.system import run

ARCHIVE = "http://deb.debian.org/debian"
"""Debian's usual address, in the sources of every new Debian; also what is used where this
machine's apt knows no Debian mirror (Ubuntu, a CD-ROM, a snapshot of files)."""
SECURITY = "http://deb.debian.org/debian-security"

# Settings that say how much apt here trusts dates: a mirror frozen in time, or a machine whose
# clock is off, needs the same settings in the hosts.
DATE_SETTINGS = re.compile(r"^Acquire::(Check-Valid-Until|Check-Date|Max-FutureTime|M(in|ax)-ValidTime)\b.*;$")

_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"


@dataclass(frozen=True)
class Mirror:
    """The two archives of Debian as this machine reaches them, without a slash at the end."""

    archive: str = ARCHIVE
    security: str = SECURITY

    def proxy_map(self) -> list[str]:
        """The PREFIX=URL arguments of the apt proxy."""
        return [f"{ARCHIVE}/={self.archive}/", f"{SECURITY}/={self.security}/"]


def machine_mirror() -> Mirror:
    """The mirror in this machine's apt configuration, in whatever form it is written.

    `INFERFLEET_DEBIAN_MIRROR` (the archive's address; `-security` is put behind it for the other)
    goes first, for an Ubuntu machine that has a Debian mirror near it.
    """
    if own := os.environ.get("INFERFLEET_DEBIAN_MIRROR"):
        return Mirror(own.rstrip("/"), own.rstrip("/") + "-security")
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return Mirror()
    targets = run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"], check=False).stdout
    return choose(targets, release.get("VERSION_CODENAME", ""))


def choose(targets: str, codename: str) -> Mirror:
    """Pick Debian's own archives out of `apt-get indextargets` lines of four words.

    Other vendors use Debian's code names too; a repository that calls itself Debian goes first
    (apt knows that only after an update), then the order of the sources decides.
    """
    rows = [words for line in targets.splitlines() if len(words := line.split()) >= 3]
    rows.sort(key=lambda words: "Debian" not in words[3:])
    found: dict[str, str] = {}
    for uri, suite, component, *_ in rows:
        address = plain(uri)
        if component == "main" and address is not None:
            found.setdefault(suite, address)
    return Mirror(found.get(codename, ARCHIVE), found.get(f"{codename}-security", SECURITY))


def plain(uri: str) -> str | None:
    """An http(s) address for it, else None.

    Debian's cloud images write `mirror+file:LIST`; the first address in LIST is taken.
    """
    if uri.startswith("mirror+file:"):
        listed = Path("/" + uri.removeprefix("mirror+file:").strip("/"))
        lines = listed.read_text().split() if listed.is_file() else []
        return next((address for word in lines if (address := plain(word))), None)
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def date_settings() -> str:
    """The lines of this machine's apt configuration that hosts need as well, as apt.conf text."""
    lines = run(["apt-config", "dump"], check=False).stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if DATE_SETTINGS.match(line))
