"""llama.cpp and the software GPU: packages of a newer suite of Debian than the hosts have."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.debian import Apt
from inferfleet.lab.mirror.store import fresh_part, locked

SUITE: Final = "forky"
"""The first suite that has llama.cpp with ggml's Vulkan backend as packages; not yet stable, so it moves."""

PACKAGES: Final = ("llama.cpp-tools", "libggml0-backend-vulkan", "mesa-vulkan-drivers")
"""llama-server and llama-quantize; offload to Vulkan; a Vulkan device in software (llvmpipe)."""


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
        apt = Apt(SUITE, part)
        apt.download_all(PACKAGES)
        found = apt.archives
        target = kept / _set_name(found)
        if not target.exists():
            _write_sums(found)
            kept.mkdir(parents=True, exist_ok=True)
            found.rename(target)
        shutil.rmtree(part)
        return target


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
