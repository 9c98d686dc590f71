"""Packages of any Debian suite, fetched by apt without touching what apt knows of this machine."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inferfleet.lab.aptsource import machine_mirror
from inferfleet.lab.mirror.command import build_run

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


def download(work: Path, suite: str, packages: Sequence[str], alone: bool = False) -> Path:
    """The packages lie in one directory, as `*.deb` with SHA256SUMS.

    Args:
        work: an empty directory to work in.
        suite: of Debian, such as `forky`.
        packages: their names.
        alone: without all that they depend on.

    Returns:
        The directory, below `work`.

    Raises:
        LabError: apt is missing, or the mirror cannot be reached or trusted, or has no such package.
    """
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {machine_mirror().archive} {suite} main\n")
    (work / "apt.conf").write_text(_CONFIG.format(work=work) + _network_settings())
    env = {"APT_CONFIG": str(work / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    where, hint = f"Debian {suite}", "see whether this machine's apt works and debian-archive-keyring is up to date"
    archives = work / "cache" / "archives"
    # Error-Mode: without it apt-get update ends with 0 although nothing could be fetched or trusted.
    build_run(where, ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"], env, hint)
    if alone:
        # apt-get download writes to where it is run.
        build_run(where, ["env", "--chdir", archives, "apt-get", "download", "-q", *packages], env, hint)
    else:
        build_run(where, ["apt-get", "install", "-q", "-y", "--download-only", *packages], env, hint)
    _write_sums(archives)
    return archives


def _network_settings() -> str:
    """How this machine's apt reaches and believes its mirrors, but none of its hooks.

    Check-Valid-Until and Check-Date are among it since a snapshot mirror serves what has run out.
    """
    keep = ("Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIP", "Acquire::Check-")
    lines = build_run("apt", ["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(keep))


def _write_sums(archives: Path) -> None:
    shutil.rmtree(archives / "partial")
    (archives / "lock").unlink(missing_ok=True)
    debs = sorted(archives.glob("*.deb"))
    sums = [f"{hashlib.sha256(deb.read_bytes()).hexdigest()}  {deb.name}\n" for deb in debs]
    (archives / "SHA256SUMS").write_text("".join(sums))
