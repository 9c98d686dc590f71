"""Signed apt repositories as plain files: indexes by apt-ftparchive, signatures by gpg.

Two shapes. Flat, as NVIDIA's: packages and indexes in one directory. With suites, as Docker's:

    <root>/dists/<suite>/InRelease  Release  Release.gpg
    <root>/dists/<suite>/<component>/binary-amd64/Packages  Packages.gz
    <root>/dists/<suite>/pool/<component>/amd64/*.deb
"""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.signing import SigningKey
from inferfleet.lab.mirror.store import fresh_part, locked, put_in_place

PROGRAMS: Final = {"apt-ftparchive": "apt-utils", "gpg": "gnupg", "gpg-agent": "gpg-agent"}
"""Program -> the package that brings it."""

_MADE_OF: Final = ".made-of.json"
_LAYOUT: Final = 1
"""Raise it when the shape changes, so that kept repositories are made anew."""


@dataclass(frozen=True)
class Vendor:
    """Who a repository says it is from: `Origin` and `Label` of its Release file."""

    origin: str
    label: str


def flat_repository(
    target: Path,
    debs: Iterable[Path],
    key: SigningKey,
    vendor: Vendor,
    beside: Mapping[str, bytes] | None = None,
) -> Path:
    """A flat repository is there, for `deb [signed-by=...] URL/ /`; it stays as it is if it holds just these packages.

    Args:
        target: its directory, replaced as a whole.
        debs: the packages, linked or copied.
        key: signs it.
        vendor: who it says it is from.
        beside: name -> content of further files in it, such as the key.

    Raises:
        LabError: apt-ftparchive or gpg is missing or failed.
    """

    def fill(part: Path, packages: list[Path]) -> None:
        for name, content in (beside or {}).items():
            (part / name).write_bytes(content)
        for deb in packages:
            _link(deb, part / deb.name)
        # "./" in front of every name, as NVIDIA's repositories have it.
        _index(part, ["apt-ftparchive", "packages", "."])
        _sign(part, key, vendor, {"Architectures": "amd64"})

    return _made(target, debs, key, vendor, fill)


def suite_repository(
    root: Path, suite: str, component: str, debs: Iterable[Path], key: SigningKey, vendor: Vendor
) -> Path:
    """A suite is there, for `deb [signed-by=...] URL SUITE COMPONENT`; otherwise as `flat_repository`.

    Args:
        root: what the URL stands for; `dists/<suite>` in it is replaced as a whole.
        suite: its code name.
        component: the one it has.
        debs: the packages, linked or copied.
        key: signs it.
        vendor: who it says it is from.

    Raises:
        LabError: apt-ftparchive or gpg is missing or failed.
    """

    def fill(part: Path, packages: list[Path]) -> None:
        pool = f"pool/{component}/amd64"
        (part / pool).mkdir(parents=True)
        for deb in packages:
            _link(deb, part / pool / deb.name)
        index = part / component / "binary-amd64"
        index.mkdir(parents=True)
        words = ["apt-ftparchive", "packages", pool, "/dev/null", f"dists/{suite}/"]
        _index(index, words, part)
        _sign(part, key, vendor, {"Suite": suite, "Codename": suite, "Architectures": "amd64", "Components": component})

    return _made(root / "dists" / suite, debs, key, vendor, fill)


def _made(
    target: Path, debs: Iterable[Path], key: SigningKey, vendor: Vendor, fill: Callable[[Path, list[Path]], None]
) -> Path:
    packages = sorted(debs)
    made_of = {
        "layout": _LAYOUT,
        "key": key.fingerprint,
        "vendor": [vendor.origin, vendor.label],
        "packages": {deb.name: _digest(deb) for deb in packages},
    }
    with locked(target):
        if _read(target / _MADE_OF) != made_of:
            part = fresh_part(target)
            fill(part, packages)
            (part / _MADE_OF).write_text(json.dumps(made_of, indent=1) + "\n")
            put_in_place(part, target)
    return target


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system, or one without links
        shutil.copyfile(source, target)


def _index(directory: Path, words: list[str], cwd: Path | None = None) -> None:
    packages = build_run("apt repository", words, hint="see whether apt-utils is installed", cwd=cwd or directory)
    (directory / "Packages").write_text(packages)
    (directory / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))


def _sign(directory: Path, key: SigningKey, vendor: Vendor, fields: Mapping[str, str]) -> None:
    named = {"Origin": vendor.origin, "Label": vendor.label, **fields}
    options = [word for name, value in named.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    # It lists every index it finds in the directory, so a Release file of its own must not lie there yet.
    release = build_run("apt repository", ["apt-ftparchive", *options, "release", "."], cwd=directory)
    (directory / "Release").write_text(release)
    key.sign_release(directory)
