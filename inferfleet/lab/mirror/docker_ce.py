"""Docker's own packages by name, made of Debian's builds of the same programs.

What Docker ships (docker-ce-packaging, deb/common/control; containerd-packaging, debian/control) differs from what
Debian ships in names, in places (`/usr/bin/dockerd`) and in that `containerd.io` holds runc. That is followed here.
Left out: man pages, completions, the sysvinit script, and docker-ce-rootless-extras.

trixie's builds ask for glibc 2.34 and so run on bookworm too, whose own docker.io (20.10) knows no CDI; its runc asks
for 2.38 and does not, so bookworm's own is taken there.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.deb import build_deb, debhelper, extract, place, repack, version_of, write
from inferfleet.lab.mirror.debian import fetch_debs
from inferfleet.lab.mirror.store import make_once

RECIPE: Final = 1
"""Raise it when what is packaged changes, so that kept packages are made anew."""

RELEASES: Final = {"trixie": "13", "bookworm": "12"}
"""Suite -> the number in its packages' versions."""

REVISIONS: Final = ("1", "2")
"""Revisions of docker-ce and docker-ce-cli that are offered, so that one can be pinned and upgraded; the same files."""

_SOURCE: Final = ("docker.io", "docker-cli", "containerd", "docker-buildx", "docker-compose", "tini")
_UNITS_IN: Final = "usr/lib/systemd/system"
_UNITS: Final = ("docker.service", "docker.socket")

_NOTE: Final = "Lab package: Debian's build of the program under the name and in the places of Docker's own package."
_POSTINST: Final = """\
#!/bin/sh
set -e
getent group docker >/dev/null || groupadd --system docker
#DEBHELPER#
"""
_CONTAINERD_CONFIG: Final = """\
# As Docker ships it: this containerd serves Docker, not Kubernetes.
disabled_plugins = ["cri"]
"""


@dataclass(frozen=True)
class _Source:
    """Debian's packages unpacked: where each one's files lie, and the upstream version that they name."""

    trees: Mapping[str, Path]
    versions: Mapping[str, str]
    suite: str

    def version(self, package: str, revision: str = "1", epoch: str = "") -> str:
        upstream = re.match(r"[\d.]+\d", self.versions[package].rpartition(":")[2])
        if upstream is None:
            raise LabError(f"Debian: no version of {package} (got {self.versions[package]!r})")
        return f"{epoch}{upstream[0]}-{revision}~debian.{RELEASES[self.suite]}~{self.suite}"


def docker_debs(suite: str, cache: Path, say: Callable[[str], None]) -> list[Path]:
    """Docker's packages for a suite: docker-ce, docker-ce-cli, containerd.io, buildx and compose plugins.

    Args:
        suite: trixie or bookworm.
        cache: inferfleet's cache; they are made once (10 s and 90 MB to fetch) and kept.
        say: is told what takes long.

    Raises:
        LabError: another suite, or the packages cannot be fetched.
    """
    if suite not in RELEASES:
        raise LabError(f"Docker: no packages for this suite (got {suite!r})", f"use {' or '.join(RELEASES)}")
    made = make_once(cache / "docker" / f"{suite}-{RECIPE}", lambda part: _make(part, suite, cache, say))
    return sorted(made.glob("*.deb"))


def _make(part: Path, suite: str, cache: Path, say: Callable[[str], None]) -> None:
    debs = {**fetch_debs("trixie", _SOURCE, cache, say), **fetch_debs(suite, ("runc",), cache, say)}
    say(f"packaging Docker for {suite}")
    work = part / "work"
    trees = {name: extract(deb, work / "from" / name) for name, deb in debs.items()}
    source = _Source(trees, {name: version_of(deb) for name, deb in debs.items()}, suite)
    for make in (_engine, _cli, _containerd, _buildx, _compose):
        tree = work / make.__name__
        tree.mkdir()
        make(source, tree, part)
    shutil.rmtree(work)
    for name, package in (("docker-ce", "docker.io"), ("docker-ce-cli", "docker-cli")):
        first = next(part.glob(f"{name}_*.deb"))
        for revision in REVISIONS[1:]:
            repack(first, {"Version": source.version(package, revision, "5:")}, part)


def _engine(source: _Source, tree: Path, into: Path) -> None:
    debian = source.trees["docker.io"]
    place(debian / "usr/sbin/dockerd", tree, "usr/bin/dockerd", run=True)
    place(debian / "usr/sbin/docker-proxy", tree, "usr/bin/docker-proxy", run=True)
    place(source.trees["tini"] / "usr/bin/tini-static", tree, "usr/bin/docker-init", run=True)
    for unit in _UNITS:
        place(debian / _UNITS_IN / unit, tree, f"{_UNITS_IN}/{unit}")
    service = tree / _UNITS_IN / "docker.service"
    text = re.sub(r"EnvironmentFile=.*\n", "", service.read_text()).replace(" $DOCKER_OPTS", "")
    service.write_text(text.replace("/usr/sbin/dockerd", "/usr/bin/dockerd"))
    fields = {
        "Package": "docker-ce",
        "Version": source.version("docker.io", epoch="5:"),
        "Section": "admin",
        "Depends": "containerd.io (>= 1.6.24), docker-ce-cli, iptables, libc6 (>= 2.34), libsystemd0",
        "Recommends": "apparmor, ca-certificates, docker-ce-rootless-extras, git, pigz, procps, xz-utils",
        "Conflicts": "docker (<< 1.5~), docker-engine, docker.io",
        "Replaces": "docker-engine",
        "Description": f"Docker engine\n{_NOTE}",
    }
    build_deb(tree, fields, into, debhelper({"postinst": _POSTINST}, _UNITS))


def _cli(source: _Source, tree: Path, into: Path) -> None:
    place(source.trees["docker-cli"] / "usr/bin/docker", tree, "usr/bin/docker", run=True)
    fields = {
        "Package": "docker-ce-cli",
        "Version": source.version("docker-cli", epoch="5:"),
        "Section": "admin",
        "Depends": "libc6 (>= 2.34)",
        "Recommends": "docker-buildx-plugin, docker-compose-plugin",
        "Conflicts": "docker (<< 1.5~), docker-engine, docker.io",
        "Replaces": "docker-ce (<< 5:0)",
        "Breaks": "docker-ce (<< 5:0)",
        "Description": f"Docker command line\n{_NOTE}",
    }
    build_deb(tree, fields, into)


def _containerd(source: _Source, tree: Path, into: Path) -> None:
    debian = source.trees["containerd"]
    for program in ("containerd", "containerd-shim-runc-v2", "ctr"):
        place(debian / "usr/bin" / program, tree, f"usr/bin/{program}", run=True)
    place(source.trees["runc"] / "usr/sbin/runc", tree, "usr/bin/runc", run=True)
    unit = f"{_UNITS_IN}/containerd.service"
    place(debian / unit, tree, unit)
    write(_CONTAINERD_CONFIG, tree, "etc/containerd/config.toml")
    libc = "2.38" if source.suite == "trixie" else "2.34"
    fields = {
        "Package": "containerd.io",
        "Version": source.version("containerd"),
        "Section": "devel",
        "Provides": "containerd, runc",
        "Conflicts": "containerd, runc",
        "Replaces": "containerd, runc",
        "Depends": f"libc6 (>= {libc}), libseccomp2 (>= 2.5.0)",
        "Description": f"containerd and runc {source.versions['runc']}\n{_NOTE}",
    }
    build_deb(tree, fields, into, debhelper({}, ["containerd.service"]), ["/etc/containerd/config.toml"])


def _buildx(source: _Source, tree: Path, into: Path) -> None:
    fields = {"Replaces": "docker-ce-cli", "Description": f"docker buildx\n{_NOTE}"}
    _plugin(source, tree, into, "docker-buildx", fields)


def _compose(source: _Source, tree: Path, into: Path) -> None:
    taken = dict.fromkeys(("Conflicts", "Replaces", "Breaks"), "docker-compose")
    fields = {**taken, "Recommends": "docker-buildx-plugin", "Description": f"docker compose\n{_NOTE}"}
    _plugin(source, tree, into, "docker-compose", fields)


def _plugin(source: _Source, tree: Path, into: Path, name: str, fields: Mapping[str, str]) -> None:
    path = f"usr/libexec/docker/cli-plugins/{name}"
    place(source.trees[name] / path, tree, path, run=True)
    common = {"Package": f"{name}-plugin", "Version": source.version(name), "Section": "admin"}
    build_deb(tree, {**common, "Depends": "libc6 (>= 2.34)", "Enhances": "docker-ce-cli", **fields}, into)
