"""Debian packages of any suite, fetched by apt without touching what apt knows of this machine."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from inferfleet.lab.aptsource import machine_mirror
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import make_once

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Forky is signed by the keys of bookworm and of trixie: either is enough, so the package debian-archive-keyring of
Debian 12 (2023.3) and later will do (`gpgv` on InRelease: "Good signature" with each alone)."""

_CONFIG = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Debug::NoLocking "true";
"""


class Apt:
    """An apt that knows one suite of Debian, on a machine where nothing is installed.

    Args:
        suite: its code name.
        work: an empty directory for all that it keeps.
        updates: the suite's updates and security archive too; a suite that is not released has none.

    Raises:
        LabError: the mirror cannot be reached or trusted.
    """

    def __init__(self, suite: str, work: Path, updates: bool = False) -> None:
        self.archives = work / "cache" / "archives"
        self._where = f"Debian {suite}"
        for directory in (work / "state/lists/partial", self.archives / "partial"):
            directory.mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(_sources(suite, updates))
        (work / "apt.conf").write_text(_CONFIG.format(work=work) + _network_settings())
        self._env = {"APT_CONFIG": str(work / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
        # Error-Mode: without it apt-get update ends with 0 although nothing could be fetched or trusted.
        self._get("update", "-o", "APT::Update::Error-Mode=any")

    def download(self, packages: Sequence[str], into: Path) -> None:
        """These packages alone lie in a directory.

        Raises:
            LabError: the suite has not all of them.
        """
        self._get("download", *packages, cwd=into)

    def download_all(self, packages: Sequence[str]) -> None:
        """These packages and all that they depend on lie in `archives`.

        Raises:
            LabError: the suite has not all of them.
        """
        self._get("install", "-y", "--download-only", *packages)

    def _get(self, *words: str, cwd: Path | None = None) -> None:
        hint = "see whether this machine's apt works and debian-archive-keyring is up to date"
        build_run(self._where, ["apt-get", "-q", *words], self._env, hint, cwd)


def fetch_debs(suite: str, packages: Sequence[str], cache: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """These packages of a released suite, without what they depend on; what was fetched once is kept.

    Args:
        suite: its code name.
        packages: binary packages of it.
        cache: inferfleet's cache.
        say: is told what takes long.

    Returns:
        Name of each package -> its .deb.

    Raises:
        LabError: the mirror cannot be reached or trusted, or has not all of them.
    """
    digest = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]

    def fetch(part: Path) -> None:
        say(f"fetching {', '.join(packages)} from Debian {suite}")
        work = part / "apt"
        work.mkdir()
        Apt(suite, work, updates=True).download(packages, part)
        shutil.rmtree(work)

    found = make_once(cache / "debian" / f"{suite}-{digest}", fetch)
    return {deb.name.split("_")[0]: deb for deb in found.glob("*.deb")}


def _sources(suite: str, updates: bool) -> str:
    mirror = machine_mirror()
    archives = [(mirror.archive, suite)]
    if updates:
        archives += [(mirror.archive, f"{suite}-updates"), (mirror.security, f"{suite}-security")]
    return "".join(f"deb [signed-by={KEYRING}] {address} {name} main\n" for address, name in archives)


def _network_settings() -> str:
    """How this machine's apt reaches and believes its mirrors, but none of its hooks.

    Check-Valid-Until and Check-Date are among it since a snapshot mirror serves what has run out.
    """
    keep = ("Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIP", "Acquire::Check-")
    lines = build_run("apt", ["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(keep))
