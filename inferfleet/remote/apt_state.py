"""What apt and dpkg say of a few packages and of one source; a part of scripts that ask. Alters nothing."""

from __future__ import annotations

import glob
import re
import subprocess
from typing import Any

from inferfleet.remote.openpgp import dearmoured, fingerprints

SOURCES = "/etc/apt/sources.list.d"
_SHOWN = r"${Package}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n"
_FIELD = re.compile(r"^([\w-]+):(.*(?:\n[ \t].*)*)", re.MULTILINE)
_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)")


def apt_state(source: dict[str, Any] | None, packages: list[str]) -> dict[str, Any]:
    """Installed versions, holds, and of the source: its text, the fingerprints of its key, files that conflict with it.

    Args:
        source: as `apt_source.bring_source` takes it; None where no source is declared.
        packages: names of Debian packages.
    """
    rows = [line.split("\t") for line in output("dpkg-query", "-W", "-f", _SHOWN, *packages).splitlines()]
    installed = [row for row in rows if row[3] == "installed"]
    return {
        "installed": {row[0]: row[1] for row in installed},
        "held": sorted(row[0] for row in installed if row[2] == "hold"),
        "source": source_state(source) if source else None,
    }


def source_state(source: dict[str, Any]) -> dict[str, Any]:
    """The text of the source's file, the fingerprints of its key file, and files that conflict with it."""
    return {
        "text": text_of(source["path"]),
        "key": key_in(source["keyring"]),
        "conflicts": conflicting(source["path"], source["text"]),
    }


def release() -> dict[str, str]:
    """The distribution, its suite as Docker names it, and dpkg's architecture."""
    rows = [line.split("=", 1) for line in (text_of("/etc/os-release") or "").splitlines() if "=" in line]
    fields = {row[0]: row[1].strip('"') for row in rows}
    suite = fields.get("UBUNTU_CODENAME") or fields.get("VERSION_CODENAME", "")
    arch = output("dpkg", "--print-architecture").strip()
    return {"distribution": fields.get("ID", ""), "suite": suite, "arch": arch}


def filled(text: str, host: dict[str, str]) -> str:
    """The text with what only the host knows."""
    for name, value in host.items():
        text = text.replace("{" + name + "}", value)
    return text


def output(*command: str) -> str:
    """What a command writes, whether or not it likes the question; empty where there is no such command."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return done.stdout.decode("utf-8", "replace")


def text_of(path: str) -> str | None:
    """The text of a file, None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def key_in(path: str) -> list[str] | None:
    """The fingerprints in a key file; None where there is none or it cannot be read."""
    try:
        with open(path, "rb") as file:
            return fingerprints(dearmoured(file.read()))
    except (OSError, ValueError):
        return None


def conflicting(path: str, text: str) -> list[str]:
    """Files that name the source's repository with another key: apt then reads no list at all ("Signed-By")."""
    arch = output("dpkg", "--print-architecture").strip()
    ours = {(uri, suite): signed for uri, suite, signed in entries(text, True, arch)}
    found = []
    for other in ["/etc/apt/sources.list", *sorted(glob.glob(f"{SOURCES}/*.list") + glob.glob(f"{SOURCES}/*.sources"))]:
        theirs = entries(text_of(other) or "", other.endswith(".sources"), arch) if other != path else []
        if any(ours.get((uri, suite), signed) != signed for uri, suite, signed in theirs):
            found.append(other)
    return found


def entries(text: str, deb822: bool, arch: str) -> list[tuple[str, str, str]]:
    """(address, suite, key) of every enabled entry of a file of sources."""
    found = _stanzas(text) if deb822 else _lines(text)
    return [(uri.replace("$(ARCH)", arch).rstrip("/"), suite.rstrip("/"), signed) for uri, suite, signed in found]


def _lines(text: str) -> list[tuple[str, str, str]]:
    rows = [row for row in map(_LINE.match, text.splitlines()) if row]
    options = [dict(word.split("=", 1) for word in (row[1] or "").split() if "=" in word) for row in rows]
    return [(row[2], row[3], words.get("signed-by", "")) for row, words in zip(rows, options)]  # noqa: B905  # 3.8


def _stanzas(text: str) -> list[tuple[str, str, str]]:
    found = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        body = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        fields = {
            name.lower(): value.strip() for name, value in re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", body, re.M)
        }
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        for uri in fields.get("uris", "").split():
            found += [(uri, suite, fields.get("signed-by", "")) for suite in fields.get("suites", "").split()]
    return found
