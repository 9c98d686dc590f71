"""Debian packages made of directories: the same files and fields give the same package."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.pack import MTIME

MAINTAINER: Final = "inferfleet lab <lab@localhost>"

_ENABLE = """\
if [ "$1" = configure ]; then
    for unit in {units}; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null || true
        fi
    done
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then action=restart; else action=start; fi
        deb-systemd-invoke "$action" {units} >/dev/null || true
    fi
fi
"""
_STOP = """\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop {units} >/dev/null || true
fi
"""
_FORGET = """\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ] && [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper purge {units} >/dev/null || true
fi
"""
_OF_UNITS: Final = {"postinst": _ENABLE, "prerm": _STOP, "postrm": _FORGET}
_SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")


def build_deb(
    tree: Path,
    fields: Mapping[str, str],
    into: Path,
    scripts: Mapping[str, str] | None = None,
    conffiles: Sequence[str] = (),
) -> Path:
    """A package of a directory's files, all owned by root.

    Args:
        tree: what is installed, below `/`; gets a `DEBIAN` directory and new modes: 755 for directories
            and what its owner may run, else 644.
        fields: of the control file, at least `Package`, `Version` and `Description`, whose further lines are its
            long text. `Architecture` is amd64 and `Maintainer` the lab unless they say otherwise.
        into: existing directory for the package.
        scripts: maintainer script -> its text.
        conffiles: installed files that an administrator may change.

    Returns:
        The file, named as Debian does: without the version's epoch.

    Raises:
        LabError: dpkg-deb refuses it.
    """
    usual = {"Architecture": "amd64", "Maintainer": MAINTAINER, "Section": "utils", "Priority": "optional"}
    complete = {**fields, **{name: value for name, value in usual.items() if name not in fields}}
    _write_control(tree, complete, scripts or {}, conffiles)
    _plain(tree)
    version = complete["Version"].partition(":")[2] or complete["Version"]
    target = into / f"{complete['Package']}_{version}_{complete['Architecture']}.deb"
    # zstd since dpkg 1.21.18 (Debian 12): packs and unpacks these packages several times quicker than xz.
    words: list[str | Path] = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", tree, target]
    build_run(target.name, words, env={"SOURCE_DATE_EPOCH": str(MTIME)})
    return target


def repack(deb: Path, fields: Mapping[str, str | None], into: Path) -> Path:
    """The same files and scripts under other fields: another version, another name.

    Args:
        deb: the package to start from; files in it that root does not own come to be root's.
        fields: to set; None takes one away.
        into: existing directory for the new package.

    Raises:
        LabError: it is no package, or dpkg-deb refuses the new one.
    """
    with tempfile.TemporaryDirectory(prefix=".repack-", dir=into) as work:
        tree = Path(work) / "tree"
        build_run(deb.name, ["dpkg-deb", "--raw-extract", deb, tree])
        (old,) = control_paragraphs((tree / "DEBIAN" / "control").read_text())
        changed = {**old, **fields}
        return build_deb(tree, {name: value for name, value in changed.items() if value is not None}, into)


def extract(deb: Path, into: Path) -> Path:
    """The package's files lie below a directory, made if need be and returned.

    Raises:
        LabError: it is no package.
    """
    into.mkdir(parents=True, exist_ok=True)
    build_run(deb.name, ["dpkg-deb", "--extract", deb, into])
    return into


def version_of(deb: Path) -> str:
    """The package's version, epoch and all.

    Raises:
        LabError: it is no package.
    """
    return build_run(deb.name, ["dpkg-deb", "--field", deb, "Version"]).strip()


def control_paragraphs(text: str) -> list[dict[str, str]]:
    """The paragraphs of a control file, field by field; further lines of a field without their blank.

    Raises:
        LabError: a line is neither a field nor the continuation of one.
    """
    return [_fields(paragraph) for paragraph in re.split(r"\n\s*\n", text.strip())]


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + ("" if line.strip() == "." else line[1:])
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        else:
            raise LabError(f"control file: not a field (got {line!r})")
    return fields


def debhelper(scripts: Mapping[str, str], units: Sequence[str] = (), helpers: Sequence[str] = ()) -> dict[str, str]:
    """Maintainer scripts as debhelper 13 completes them: where they say `#DEBHELPER#`, else at their end.

    Args:
        scripts: name -> text of those that there are.
        units: shipped by the package; enabled and started, as by dh_installsystemd.
        helpers: lines of a `.maintscript` file for dpkg-maintscript-helper, as by dh_installdeb.
    """
    added = dict.fromkeys(_SCRIPTS, "".join(f'dpkg-maintscript-helper {line} -- "$@"\n' for line in helpers))
    if units:
        for script, text in _OF_UNITS.items():
            added[script] += text.replace("{units}", " ".join(units))
    complete = {}
    for script in _SCRIPTS:
        if added[script] or script in scripts:
            before, _, after = scripts.get(script, "#!/bin/sh\nset -e\n#DEBHELPER#\n").partition("#DEBHELPER#\n")
            complete[script] = before + added[script] + after
    return complete


def place(source: Path, tree: Path, target: str, run: bool = False) -> None:
    """A copy of a file lies in a package's tree.

    Args:
        source: the file; links are followed.
        tree: of the package.
        target: where it is installed, without the first slash.
        run: it is a program.

    Raises:
        LabError: it is not there.
    """
    if not source.is_file():
        raise LabError(f"{target}: what it is made of is not where it used to be (got no {source.name})")
    path = tree / target
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    path.chmod(0o755 if run else 0o644)


def write(text: str, tree: Path, target: str, run: bool = False) -> None:
    """A file with this text lies in a package's tree; arguments as for `place`."""
    path = tree / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if run else 0o644)


def _write_control(tree: Path, fields: Mapping[str, str], scripts: Mapping[str, str], conffiles: Sequence[str]) -> None:
    control = tree / "DEBIAN"
    control.mkdir(parents=True, exist_ok=True)
    size = str(_kibibytes(tree))
    (control / "control").write_text(_control_text({**fields, "Installed-Size": size}))
    for name, text in scripts.items():
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    if conffiles:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in conffiles))


def _control_text(fields: Mapping[str, str]) -> str:
    described = {name: value for name, value in fields.items() if name != "Description"}
    described["Description"] = fields["Description"]  # last, where people look for it
    return "".join(f"{name}: {_continued(value)}\n" for name, value in described.items())


def _continued(value: str) -> str:
    first, *others = value.splitlines()
    return "\n".join([first, *(f" {line or '.'}" for line in others)])


def _kibibytes(tree: Path) -> int:
    files = (path for path in tree.rglob("*") if path.is_file() and "DEBIAN" not in path.relative_to(tree).parts)
    return sum(-(-path.lstat().st_size // 1024) for path in files)


def _plain(tree: Path) -> None:
    """Modes and times do not depend on who made the files, and when."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)
