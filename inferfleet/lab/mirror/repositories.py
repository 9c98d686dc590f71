"""The signed apt repositories that the mirror serves, under the paths that their vendors use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.apt_repository import Vendor, suite_repository
from inferfleet.lab.mirror.docker_ce import RELEASES, docker_debs
from inferfleet.lab.mirror.signing import LAB, SigningKey, signing_key
from inferfleet.lab.mirror.store import replace_file

DOCKER: Final = "linux"
"""Below the mirror's root: what Docker has at its server's `/linux`."""

_DOCKER_VENDOR: Final = Vendor("Docker", "Docker CE (lab)")


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


def prepare_repositories(
    root: Path, cache: Path, say: Callable[[str], None], suites: Sequence[str] = tuple(RELEASES)
) -> Repositories:
    """The repositories are there below the mirror's root.

    Args:
        root: of the mirror, on the cache's file system.
        cache: inferfleet's cache.
        say: is told what takes long.
        suites: of Debian, for which Docker's packages are offered.

    Raises:
        LabError: something cannot be built or fetched here.
    """
    key = signing_key(cache, say, LAB)
    prepare_docker(root, cache, say, key, suites)
    return Repositories(root, key)


def prepare_docker(
    root: Path, cache: Path, say: Callable[[str], None], key: SigningKey, suites: Sequence[str] = tuple(RELEASES)
) -> Path:
    """Docker's repository for Debian: `/linux/debian`, suites with the component `stable`, the key at `gpg`.

    Args and errors are those of `prepare_repositories`.

    Returns:
        Its directory.
    """
    debian = root / DOCKER / "debian"
    for suite in suites:
        suite_repository(debian, suite, "stable", docker_debs(suite, cache, say), key, _DOCKER_VENDOR)
    replace_file(debian / "gpg", key.armored.encode())
    return debian
