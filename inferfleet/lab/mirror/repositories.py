"""The signed apt repositories that the mirror serves, under the paths that their vendors use.

Docker's packages are in `/linux/debian`, with the key as `gpg`; the NVIDIA Container Toolkit is in
`/libnvidia-container/stable/deb/amd64`, with the key as `/libnvidia-container/gpgkey`; doubles of the driver are in
`/compute/cuda/repos/debian<N>/x86_64`, with the key in it as `<ID>.pub`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.lab.gpu.debs import driver_debs
from inferfleet.lab.mirror import machine
from inferfleet.lab.mirror.apt_repository import PROGRAMS, Vendor, flat_repository, suite_repository
from inferfleet.lab.mirror.docker_ce import RELEASES, docker_debs
from inferfleet.lab.mirror.machine import COMPILES, FETCHES, check_machine
from inferfleet.lab.mirror.signing import SigningKey, signing_key
from inferfleet.lab.mirror.store import replace_file
from inferfleet.lab.mirror.toolkit import TOOLKIT, kept_versions, toolkit_debs

DOCKER: Final = "linux"
TOOLKITS: Final = "libnvidia-container"
DRIVERS: Final = "compute/cuda/repos"
"""Below the mirror's root, what the vendors have below their servers': what `sources` in an inventory names."""

_DOCKER: Final = Vendor("Docker", "Docker CE (lab)")
_TOOLKIT: Final = Vendor("NVIDIA", "NVIDIA Container Toolkit (lab)")
_DRIVER: Final = Vendor("NVIDIA", "NVIDIA CUDA (lab)")


@dataclass(frozen=True)
class Repositories:
    """What was prepared.

    Args:
        root: of the mirror, to be given to `serve_mirror`.
        key: signs all of it.
    """

    root: Path
    key: SigningKey

    @property
    def fingerprint(self) -> str:
        """The key's, 40 hexadecimal digits."""
        return self.key.fingerprint


def missing_packages() -> list[str]:
    """Names of the apt packages that this machine lacks to make them; empty when all is there."""
    return machine.missing_packages({**PROGRAMS, **FETCHES, **COMPILES}, go=True)


def prepare_repositories(
    root: Path,
    cache: Path,
    say: Callable[[str], None],
    suites: Sequence[str] = tuple(RELEASES),
    versions: Sequence[str] = (TOOLKIT,),
    drivers: Sequence[str] = (),
) -> Repositories:
    """The repositories are there below the mirror's root.

    Args:
        root: of the mirror, on the cache's file system.
        cache: inferfleet's cache.
        say: is told what takes long: some 20 s, and a minute for each version of the toolkit, at the first time.
        suites: of Debian, for which Docker's packages and drivers are offered.
        versions: of the toolkit; those once built are offered as well.
        drivers: versions of the driver's doubles; those offered before stay.

    Raises:
        LabError: something cannot be built or fetched here.
    """
    check_machine("apt repositories", missing_packages())
    key = signing_key(cache, say)
    if suites:
        prepare_docker(root, cache, say, key, suites)
    if versions:
        prepare_toolkit(root, cache, say, key, versions)
    for suite in suites if drivers else ():
        # Others may be using the mirror just now, as with the toolkit.
        every = sorted({*drivers, *_offered_drivers(root, suite)})
        prepare_drivers(root, key, [deb for version in every for deb in driver_debs(cache, say, version)], suite)
    return Repositories(root, key)


def prepare_docker(
    root: Path, cache: Path, say: Callable[[str], None], key: SigningKey, suites: Sequence[str] = tuple(RELEASES)
) -> Path:
    """Docker's repository for Debian: suites with the component `stable`.

    Args and errors are those of `prepare_repositories`.

    Returns:
        Its directory.
    """
    debian = root / DOCKER / "debian"
    for suite in suites:
        suite_repository(debian, suite, "stable", docker_debs(suite, cache, say), key, _DOCKER)
    replace_file(debian / "gpg", key.armored.encode())
    return debian


def prepare_toolkit(
    root: Path, cache: Path, say: Callable[[str], None], key: SigningKey, versions: Sequence[str] = (TOOLKIT,)
) -> Path:
    """The toolkit's flat repository.

    Args and errors are those of `prepare_repositories`.

    Returns:
        The directory of its packages.
    """
    for version in versions:
        toolkit_debs(version, cache, say)
    # Others may be using the mirror just now: what they asked for stays in it.
    debs = [deb for version in kept_versions(cache) for deb in toolkit_debs(version, cache, say)]
    base = root / TOOLKITS
    replace_file(base / "gpgkey", key.armored.encode())
    return flat_repository(base / "stable" / "deb" / "amd64", debs, key, _TOOLKIT)


def prepare_drivers(root: Path, key: SigningKey, debs: Iterable[Path], suite: str) -> Path:
    """A flat repository of driver packages, with its key in it as NVIDIA's CUDA repositories have it.

    Args:
        root: of the mirror.
        key: signs it.
        debs: the packages.
        suite: of Debian, for which they are offered.

    Returns:
        Its directory, `/compute/cuda/repos/debian<N>/x86_64`.

    Raises:
        LabError: apt-ftparchive or gpg failed.
    """
    # NVIDIA names the key after the last 32 bits of its fingerprint, as in 8793F200.pub.
    keys = {f"{key.fingerprint[-8:]}.pub": key.armored.encode(), "cuda-archive-keyring.gpg": key.binary}
    return flat_repository(_drivers_of(root, suite), debs, key, _DRIVER, keys)


def _drivers_of(root: Path, suite: str) -> Path:
    return root / DRIVERS / f"debian{RELEASES[suite]}" / "x86_64"


def _offered_drivers(root: Path, suite: str) -> set[str]:
    names = (path.name for path in _drivers_of(root, suite).glob("nvidia-kernel-support_*.deb"))
    return {name.split("_")[1].rpartition("-")[0] for name in names}
