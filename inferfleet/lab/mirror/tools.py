"""Programs of Debian that the lab's images and their registry need, unpacked and not installed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.aptfetch import download
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import fresh_part, locked

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
    kept = cache / "images" / "tools"
    with locked(kept):
        trees = sorted(kept.glob("[!.]*"), key=lambda one: one.stat().st_mtime)
        if trees:
            return trees[-1]
        say("fetching busybox and a container registry from Debian (6 MB)")
        part = fresh_part(kept)
        debs = sorted(download(part / "apt", SUITE, PACKAGES, alone=True).glob("*.deb"))
        for deb in debs:
            build_run(deb.name, ["dpkg-deb", "--extract", deb, part / "tree"])
        target = kept / "_".join("-".join(deb.name.split("_")[:2]).replace("1%3a", "") for deb in debs)
        kept.mkdir(parents=True, exist_ok=True)
        (part / "tree").rename(target)
        shutil.rmtree(part)
        return target
