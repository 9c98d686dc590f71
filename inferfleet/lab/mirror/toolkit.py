"""The NVIDIA Container Toolkit, built from the Go module proxy and packaged as upstream packages it.

The module carries `packaging/debian` and `deployments`: names, relations, places, maintainer scripts and units are
read from there, so a version that moves its units (1.20 did) moves them here. What debhelper adds is added in `deb`.

Of the four packages two are doubles, and say so: libnvidia-container is no Go module. Only the legacy mode of the
runtime needs it, and that works on no lab host anyway.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.deb import build_deb, control_paragraphs, debhelper, place, write
from inferfleet.lab.mirror.go import go_install, module_source
from inferfleet.lab.mirror.store import make_once

TOOLKIT: Final = "1.20.1"
"""The version that is built when none is asked for."""

OLDER: Final = "1.19.1"
"""A version to upgrade from; it still had its units in /etc/systemd/system."""

OLDEST: Final = (1, 18)
"""Older ones have no units that keep the CDI specification fresh."""

RECIPE: Final = 1
"""Raise it when what is packaged changes, so that kept packages are made anew."""

_MODULE: Final = "github.com/NVIDIA/nvidia-container-toolkit"
_PACKAGES: Final = ("nvidia-container-toolkit-base", "nvidia-container-toolkit")
_RELATIONS: Final = ("Depends", "Breaks", "Replaces")
_UNITS_IN: Final = ("lib/systemd/system", "usr/lib/systemd/system")

# Upstream's Makefile (1.20.1): symbols of NVML are found at run time or not at all, so never bind all at the start,
# as some distributions' gcc would have it.
_LDFLAGS: Final = (
    "-s -w '-extldflags=-Wl,--export-dynamic -Wl,--unresolved-symbols=ignore-in-object-files -Wl,-z,lazy'"
    " -X {module}/internal/info.version={version}"
)
_CLI_DOUBLE: Final = """\
#!/bin/sh
echo "nvidia-container-cli: a double of the lab; legacy mode does not work here, use CDI" >&2
exit 1
"""


def toolkit_debs(version: str, cache: Path, say: Callable[[str], None]) -> list[Path]:
    """The four packages of one version, `<version>-1`.

    Args:
        version: of the toolkit, without `v`: "1.20.1".
        cache: inferfleet's cache; they are made once (a minute of both cores) and kept.
        say: is told what takes long.

    Raises:
        LabError: the version cannot be built here; says what is missing.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version)
    if found is None:
        raise LabError(f"NVIDIA Container Toolkit: not a version (got {version!r})", f'write it like "{TOOLKIT}"')
    if (int(found[1]), int(found[2])) < OLDEST:
        raise LabError(f"NVIDIA Container Toolkit: is not built for the lab (got {version})", "take 1.18.0 or later")
    made = make_once(cache / "toolkit" / f"{version}-{RECIPE}", lambda part: _make(part, version, cache, say))
    return sorted(made.glob("*.deb"))


def kept_versions(cache: Path) -> list[str]:
    """Versions that were once built and are kept."""
    return sorted(path.name.rpartition("-")[0] for path in (cache / "toolkit").glob(f"[!.]*-{RECIPE}"))


def _make(part: Path, version: str, cache: Path, say: Callable[[str], None]) -> None:
    say(f"building the NVIDIA Container Toolkit {version} (a minute)")
    work = part / "work"
    source = module_source(_MODULE, version, cache, say)
    for name in _PACKAGES:
        files = _install_list(source, name)
        tree = work / name
        for file, directory in files.items():
            program = (source / "cmd" / file).is_dir()
            found = _program(file, version, work / "bin", cache, say) if program else _shipped(source, file)
            place(found, tree, f"{directory}/{file}", run=program)
        _package(source, name, version, tree, part)
    _doubles(version, work, part)
    shutil.rmtree(work)


def _install_list(source: Path, package: str) -> dict[str, str]:
    """File -> directory without slashes around it, as upstream's dh_install list has it."""
    lines = (source / "packaging" / "debian" / f"{package}.install").read_text().splitlines()
    return {words[0]: words[1].strip("/") for line in lines if (words := line.split())}


def _program(name: str, version: str, into: Path, cache: Path, say: Callable[[str], None]) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    ldflags = _LDFLAGS.format(module=_MODULE, version=version)
    go_install(f"{_MODULE}/cmd/{name}@v{version}", into, cache, say, ldflags)
    return into / name


def _shipped(source: Path, file: str) -> Path:
    found = next((source / "deployments").glob(f"*/{file}"), None)
    if found is None:
        raise LabError(f"NVIDIA Container Toolkit: upstream's package wants a file that is not there (got {file})")
    return found


def _package(source: Path, name: str, version: str, tree: Path, into: Path) -> None:
    upstream = source / "packaging" / "debian"
    paragraphs = control_paragraphs((upstream / "control").read_text())
    theirs = next(fields for fields in paragraphs if fields.get("Package") == name)
    fields = {
        "Package": name,
        "Version": f"{version}-1",
        **{relation: text for relation in _RELATIONS if (text := _relation(theirs.get(relation, ""), version))},
        "Description": f"{theirs['Description']}\nLab build of upstream's v{version}.",
    }
    units = [path.name for place in _UNITS_IN for path in sorted((tree / place).glob("*.*")) if path.is_file()]
    scripts = {
        script: (upstream / f"{name}.{script}").read_text()
        for script in ("preinst", "postinst", "prerm", "postrm")
        if (upstream / f"{name}.{script}").exists()
    }
    moved = upstream / f"{name}.maintscript"
    helpers = moved.read_text().replace("@VERSION@", f"{version}-1").splitlines() if moved.exists() else []
    conffiles = [f"/{path.relative_to(tree)}" for path in sorted((tree / "etc").rglob("*")) if path.is_file()]
    build_deb(tree, fields, into, debhelper(scripts, units, helpers), conffiles)


def _relation(text: str, version: str) -> str:
    """Upstream's relation with its version in it, without debhelper's variables."""
    parts = (part.strip() for part in text.replace("@VERSION@", f"{version}-1").split(","))
    return ", ".join(part for part in parts if not part.startswith("${"))


def _doubles(version: str, work: Path, into: Path) -> None:
    library = work / "libnvidia-container1"
    library.mkdir()
    said = "NVIDIA container runtime library (double)\nAn empty package of the lab in the place of NVIDIA's."
    fields = {"Package": "libnvidia-container1", "Version": f"{version}-1", "Section": "libs", "Description": said}
    build_deb(library, fields, into)
    tools = work / "libnvidia-container-tools"
    write(_CLI_DOUBLE, tools, "usr/bin/nvidia-container-cli", run=True)
    said = "NVIDIA container runtime library (command-line tools, double)\nOf the lab: its program only says so."
    fields = {
        "Package": "libnvidia-container-tools",
        "Version": f"{version}-1",
        "Depends": f"libnvidia-container1 (>= {version}-1)",
        "Description": said,
    }
    build_deb(tools, fields, into)
