"""The real HAProxy of Debian with its libraries, unpacked into the cache: no root, no host, no install."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from inferfleet.lab.mirror.debian import Apt
from inferfleet.lab.mirror.store import make_once
from inferfleet.lab.paths import cache_dir

PACKAGES: Final = ("haproxy", "lua-cjson")
# Debian's suite; `INFERFLEET_HAPROXY_SUITE=forky` tries the next HAProxy.
SUITE: Final = os.environ.get("INFERFLEET_HAPROXY_SUITE", "trixie")
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"


def unpacked() -> Path:
    """The root of an unpacked HAProxy >= 3.0; what was fetched once is kept."""

    def fetch(part: Path) -> None:
        work = part / "apt"
        work.mkdir()
        apt = Apt(SUITE, work, updates=SUITE == "trixie")
        apt.download_all(PACKAGES)
        for deb in apt.archives.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, part / "root"], check=True)
        shutil.rmtree(work)

    return make_once(cache_dir() / "haproxy" / SUITE, fetch) / "root"


def command(root: Path, *words: str) -> list[str]:
    """HAProxy under the libraries that it was built for, whatever this machine has."""
    loader = root / "usr/lib64/ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", str(root / _LIBRARIES), str(root / "usr/sbin/haproxy"), *words]


def environment(root: Path) -> dict[str, Any]:
    """Where its Lua finds cjson."""
    return {**os.environ, "LUA_CPATH": str(root / _LIBRARIES / "lua/5.4/?.so"), "SSL_CERT_DIR": "/etc/ssl/certs"}
