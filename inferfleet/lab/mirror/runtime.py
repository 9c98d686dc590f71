"""`lib/ollama` of an Ollama tarball: llama-server with a software GPU, which runs on older systems too.

Forky's libc is newer than that of the hosts. So each program comes with its own dynamic loader and
every library it needs, and is started by a script that hands over to that loader with `exec`
(the same process, so signals arrive). Shape, all below `lib/ollama`:

    llama-server  llama-quantize    scripts
    rt/llama-server  rt/llama-quantize
    rt/lvp_icd.json                 names the software GPU to the Vulkan loader
    rt/lib/                         loader, libraries, ggml's backends

ggml looks for its backends beside the running program, and that is the loader: so they lie in `rt/lib`.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import make_once

LAYOUT: Final = 1
"""Raise it when the shape changes, so that kept trees are made anew."""

PROGRAMS: Final = ("llama-server", "llama-quantize")
LOADER: Final = "ld-linux-x86-64.so.2"

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_SCRIPT = """\
#!/bin/sh
here=${{0%/*}}/rt
export VK_DRIVER_FILES="$here/lvp_icd.json"
exec "$here/lib/{loader}" --library-path "$here/lib" "$here/{program}" "$@"
"""


def llama_runtime(debs: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """The directory that becomes `lib/ollama`, made of a set of packages and kept by its name.

    Raises:
        LabError: the packages lack a library that one of the programs needs.
    """
    target = cache / "llama" / f"runtime-{LAYOUT}" / debs.name
    return make_once(target, lambda part: _make(debs, part, say))


def _make(debs: Path, part: Path, say: Callable[[str], None]) -> None:
    say(f"unpacking {debs.name}")
    unpacked = part / "unpacked"
    for deb in sorted(debs.glob("*.deb")):
        build_run(deb.name, ["dpkg-deb", "--extract", deb, unpacked])
    lib = part / "rt" / "lib"
    lib.mkdir(parents=True)
    for path in _needed(unpacked):
        shutil.copy(path, lib / path.name)
    for program in PROGRAMS:
        shutil.copy(unpacked / "usr" / "bin" / program, part / "rt" / program)
        _write_script(part / program, program)
    _write_icd(unpacked, part / "rt" / "lvp_icd.json")
    shutil.rmtree(unpacked)


def _needed(unpacked: Path) -> list[Path]:
    """Every library that the programs, ggml's backends and the software GPU load, under the name they ask for."""
    flat = unpacked / "flat"
    flat.mkdir()
    libraries = unpacked / _LIBRARIES
    for directory in (libraries, libraries / "llama", libraries / "ggml" / "backends0"):
        for path in directory.glob("*.so*"):
            (flat / path.name).symlink_to(path.resolve())
    opened = [flat / "libvulkan_lvp.so", *(path for path in flat.glob("libggml-*.so"))]
    needed = {flat / LOADER, *opened}
    for root in (*(unpacked / "usr" / "bin" / program for program in PROGRAMS), *opened):
        needed.update(_resolved(root, flat))
    return sorted(needed)


def _resolved(root: Path, flat: Path) -> Iterable[Path]:
    """The libraries that the packages' own loader finds for one file; all must come from the packages."""
    listed = build_run(root.name, [flat / LOADER, "--inhibit-cache", "--library-path", flat, "--list", root])
    for line in listed.splitlines():
        name, arrow, found = line.strip().partition(" => ")
        if not arrow:
            continue  # the loader itself, and the kernel's vdso
        path = Path(found.rsplit(" (", 1)[0])
        if path.parent != flat:
            raise LabError(f"{root.name}: needs a library that the packages lack (got {name})", "fetch them anew")
        yield path


def _write_script(path: Path, program: str) -> None:
    path.write_text(_SCRIPT.format(loader=LOADER, program=program))
    path.chmod(0o755)


def _write_icd(unpacked: Path, path: Path) -> None:
    icd = json.loads((unpacked / "usr" / "share" / "vulkan" / "icd.d" / "lvp_icd.json").read_text())
    # Relative to the file itself, once it has a slash: Vulkan loader interface, "Library Path".
    icd["ICD"]["library_path"] = "./lib/libvulkan_lvp.so"
    path.write_text(json.dumps(icd, indent=1) + "\n")
