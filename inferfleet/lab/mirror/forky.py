"""Debian packages of a newer suite, fetched by apt without touching what apt knows of this machine."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.aptsource import machine_mirror
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import fresh_part, locked

SUITE: Final = "forky"
"""The first suite that has llama.cpp with ggml's Vulkan backend as packages; not yet stable, so it moves."""

PACKAGES: Final = ("llama.cpp-tools", "libggml0-backend-vulkan", "mesa-vulkan-drivers")
"""llama-server and llama-quantize; offload to Vulkan; a Vulkan device in software (llvmpipe)."""

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


def fetch_packages(cache: Path, say: Callable[[str], None], refresh: bool = False) -> Path:
    """The packages and all they depend on lie in one directory, as `*.deb` with SHA256SUMS.

    What was fetched once is kept and used again, since the suite moves on.

    Args:
        cache: inferfleet's cache.
        say: is told what takes long.
        refresh: ask the mirror even if packages are kept; older sets stay.

    Returns:
        The directory, named by the versions of llama.cpp and Mesa in it.

    Raises:
        LabError: apt is missing, or the mirror cannot be reached or trusted.
    """
    kept = cache / "llama" / "debs"
    with locked(kept):
        sets = sorted((one for one in kept.glob("[!.]*") if one.is_dir()), key=lambda one: one.stat().st_mtime)
        if sets and not refresh:
            return sets[-1]
        say(f"fetching llama.cpp and the software GPU from Debian {SUITE} (90 MB)")
        part = fresh_part(kept)
        found = _download(part)
        target = kept / _set_name(found)
        if not target.exists():
            _write_sums(found)
            kept.mkdir(parents=True, exist_ok=True)
            found.rename(target)
        shutil.rmtree(part)
        return target


def _download(work: Path) -> Path:
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {machine_mirror().archive} {SUITE} main\n")
    (work / "apt.conf").write_text(_CONFIG.format(work=work) + _network_settings())
    env = {"APT_CONFIG": str(work / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    where, hint = f"Debian {SUITE}", "see whether this machine's apt works and debian-archive-keyring is up to date"
    # Error-Mode: without it apt-get update ends with 0 although nothing could be fetched or trusted.
    build_run(where, ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"], env, hint)
    build_run(where, ["apt-get", "install", "-q", "-y", "--download-only", *PACKAGES], env, hint)
    return work / "cache" / "archives"


def _network_settings() -> str:
    """How this machine's apt reaches and believes its mirrors, but none of its hooks.

    Check-Valid-Until and Check-Date are among it since a snapshot mirror serves what has run out.
    """
    keep = ("Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIP", "Acquire::Check-")
    lines = build_run("apt", ["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(keep))


def _set_name(archives: Path) -> str:
    def version(package: str) -> str:
        names = [deb.name for deb in archives.glob(f"{package}_*.deb")]
        if not names:
            raise LabError(f"Debian {SUITE}: a package did not arrive (got no {package})", "try again")
        return names[0].split("_")[1].replace("1%3a", "")

    return f"llama-{version('llama.cpp-tools')}_mesa-{version('mesa-vulkan-drivers')}"


def _write_sums(archives: Path) -> None:
    shutil.rmtree(archives / "partial")
    (archives / "lock").unlink(missing_ok=True)
    debs = sorted(archives.glob("*.deb"))
    sums = [f"{hashlib.sha256(deb.read_bytes()).hexdigest()}  {deb.name}\n" for deb in debs]
    (archives / "SHA256SUMS").write_text("".join(sums))
