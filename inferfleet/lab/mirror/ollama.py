"""A tarball in the shape of Ollama's release, with the real Ollama in it, built on this machine.

Ollama comes from the Go module proxy, llama-server and the software GPU from Debian. What upstream
ships (0.32.15, scripts/build_linux.sh): `tar c bin lib | zstd` as ollama-linux-amd64.tar.zst, and
sha256sum.txt, written by `find . -type f | xargs sha256sum`, so names begin with `./`.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror import machine
from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.go import go_install
from inferfleet.lab.mirror.machine import COMPILES, FETCHES, check_machine
from inferfleet.lab.mirror.pack import pack
from inferfleet.lab.mirror.runtime import LAYOUT, llama_runtime
from inferfleet.lab.mirror.store import fresh_part, locked, make_once, put_in_place

TARBALL: Final = "ollama-linux-amd64.tar.zst"
SUMS: Final = "sha256sum.txt"
OLDEST: Final = (0, 30)
"""Older ones have no llama-server of their own beside them and do not install from the module proxy as they are."""

MADE_OF: Final = ".made-of.json"
_NEEDED: Final = {**COMPILES, "g++": "g++", "zstd": "zstd", **FETCHES}


def missing_packages() -> list[str]:
    """Names of the apt packages that this machine lacks to build; empty when all is there."""
    return machine.missing_packages(_NEEDED, go=True)


def build_ollama(version: str, cache: Path, say: Callable[[str], None], refresh: bool = False) -> Path:
    """A release directory for one version of Ollama is there: the tarball and its sum.

    Args:
        version: of Ollama, without `v`: "0.32.15".
        cache: inferfleet's cache.
        say: is told what takes long (the first version some 2 minutes of both cores, a further one less).
        refresh: take newer packages of llama.cpp from Debian if there are any.

    Returns:
        `<cache>/mirror/ollama/v<version>`. Nothing below `<cache>/mirror` is ever half done.

    Raises:
        LabError: the version cannot be built here; says what is missing.
    """
    _check(version)
    target = cache / "mirror" / "ollama" / f"v{version}"
    if refresh or not _is_current(target):
        check_machine("Ollama", missing_packages())
        binary = ollama_binary(version, cache, say)
        runtime = llama_runtime(fetch_packages(cache, say, refresh), cache, say)
        _release(target, binary, runtime, say)
    return target


def _check(version: str) -> None:
    found = re.fullmatch(r"(\d+)\.(\d+)\.\d+(-rc\d+)?", version)
    if found is None:
        raise LabError(f"Ollama: not a version (got {version!r})", 'write it like "0.32.15"')
    if (int(found[1]), int(found[2])) < OLDEST:
        raise LabError(f"Ollama: cannot be built from the module proxy (got {version})", "take 0.30.0 or later")


def ollama_binary(version: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The program of one version, built once; `build_ollama` says whether it can be built here."""

    def make(part: Path) -> None:
        say(f"building Ollama {version} (the first version takes some 2 minutes)")
        stamp = f"-s -w -X=github.com/ollama/ollama/version.Version={version}"
        go_install(f"github.com/ollama/ollama@v{version}", part, cache, say, ldflags=stamp)

    return make_once(cache / "ollama" / f"v{version}", make) / "ollama"


def _is_current(target: Path) -> bool:
    try:
        return bool(json.loads((target / MADE_OF).read_text())["layout"] == LAYOUT)
    except FileNotFoundError:
        return False


def _release(target: Path, binary: Path, runtime: Path, say: Callable[[str], None]) -> None:
    with locked(target):
        made_of = {"layout": LAYOUT, "runtime": runtime.name}
        if target.exists() and json.loads((target / MADE_OF).read_text()) == made_of:
            return
        say(f"packing {target.name}/{TARBALL}")
        part = fresh_part(target)
        pack({"bin/ollama": binary, "lib/ollama": runtime}, part / TARBALL)
        with (part / TARBALL).open("rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
        (part / SUMS).write_text(f"{digest}  ./{TARBALL}\n")
        (part / MADE_OF).write_text(json.dumps(made_of) + "\n")
        put_in_place(part, target)
