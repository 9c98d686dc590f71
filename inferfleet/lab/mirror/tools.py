"""Programs of Debian that the lab's images and their registry need, unpacked and not installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.debian import fetch_debs
from inferfleet.lab.mirror.store import make_once

SUITE: Final = "bookworm"
"""Its docker-registry (2.8.2) runs with any libc from 2.34 on, so on each machine that can carry a lab."""

PACKAGES: Final = ("busybox-static", "docker-registry")
BUSYBOX: Final = "bin/busybox"
REGISTRY: Final = "usr/bin/docker-registry"


def fetch_tools(cache: Path, say: Callable[[str], None]) -> Path:
    """A directory with both packages unpacked in it, named by their versions. Fetched once and then kept.

    Raises:
        LabError: apt is missing, or the mirror cannot be reached or trusted.
    """
    debs = fetch_debs(SUITE, PACKAGES, cache, say)

    def unpack(part: Path) -> None:
        for deb in debs.values():
            build_run(deb.name, ["dpkg-deb", "--extract", deb, part])

    versions = "_".join("-".join(debs[name].name.split("_")[:2]).replace("1%3a", "") for name in sorted(debs))
    return make_once(cache / "images" / "tools" / versions, unpack)
