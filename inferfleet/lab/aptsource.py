"""Where this machine gets Debian packages from, asked of apt itself.

Hosts always ask for the same addresses, which only the lab's apt proxy (`aptcache`) knows; it takes
the files from the mirror found here.
"""

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.system import PATH, run

ARCHIVE = "http://debian.lab/debian"
SECURITY = "http://debian.lab/debian-security"
"""The addresses in the hosts' sources. Names of a lab, so that a host outlives another mirror."""

# Settings that say how much apt here trusts dates: a mirror frozen in time, or a machine whose
# clock is off, needs the same settings in the hosts.
DATE_SETTINGS = re.compile(r"^Acquire::(Check-Valid-Until|Check-Date|Max-FutureTime|M(in|ax)-ValidTime)\b.*;$")

_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"


@dataclass(frozen=True)
class Mirror:
    """The two archives of Debian as this machine reaches them, without a slash at the end."""

    archive: str
    security: str

    def proxy_map(self) -> list[str]:
        """The PREFIX=URL arguments of the apt proxy."""
        return [f"{ARCHIVE}/={self.archive}/", f"{SECURITY}/={self.security}/"]


def machine_mirror() -> Mirror:
    """The mirror in this machine's apt configuration, in whatever form it is written.

    `INFERFLEET_DEBIAN_MIRROR` (the archive's address; `-security` is put behind it for the other)
    goes first, for an Ubuntu machine that has a Debian mirror near it.
    """
    if own := os.environ.get("INFERFLEET_DEBIAN_MIRROR"):
        return beside(own)
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return usual()
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
    archive, security = found.get(codename), found.get(f"{codename}-security")
    return Mirror(archive or usual().archive, security or usual().security)


def beside(archive: str) -> Mirror:
    """A mirror that has the security archive beside the other, as Debian's own has."""
    return Mirror(archive.rstrip("/"), archive.rstrip("/") + "-security")


def usual() -> Mirror:
    """Debian's usual mirror, asked of debootstrap (1.0.128, `DEF_MIRROR`), for a machine whose apt knows none.

    Raises:
        LabError: debootstrap does not say it in the form that is known.
    """
    program = shutil.which("debootstrap", path=PATH)
    text = Path(program).read_text(errors="replace") if program else ""
    if found := re.search(r'^DEF_MIRROR="(http[^"]+)"', text, re.MULTILINE):
        return beside(found[1])
    hint = "set INFERFLEET_DEBIAN_MIRROR to the address of one"
    raise LabError("lab: this machine's apt knows no Debian mirror, and debootstrap names none", hint)


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
