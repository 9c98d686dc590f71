"""A running HAProxy asked through its sockets (3.0); a part of scripts that do."""

from __future__ import annotations

import hashlib
import socket

ANSWER_S = 30
PORTION = 60_000


def ask(path: str, *commands: str) -> str:
    """What it answers to commands, one after the other; an OSError where nobody does.

    A command may have a payload: `<<`, lines, and an empty line.
    """
    said = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(path)
        connection.sendall("".join(f"{command}\n" for command in commands).encode())
        connection.shutdown(socket.SHUT_WR)
        while True:
            got = connection.recv(65536)
            if not got:
                return said.decode("utf-8", "replace")
            said += got


def loaded(path: str, name: str) -> str:
    """The value of a variable that its configuration sets; empty where nobody answers, or it sets none."""
    try:
        found = [line for line in ask(path, f"show env {name}").splitlines() if line.startswith(f"{name}=")]
    except OSError:
        return ""
    return found[0].partition("=")[2] if found else ""


def info(path: str) -> dict[str, str]:
    """What it says of itself; empty where nobody answers."""
    try:
        rows = [line.partition(": ") for line in ask(path, "show info").splitlines()]
    except OSError:
        return {}
    return {row[0]: row[2] for row in rows if row[1]}


def map_digest(path: str, name: str) -> str:
    """The digest of a map as it is in memory, as `engines.gateway_host` makes it of a declared one."""
    try:
        lines = [line.partition(" ")[2] for line in ask(path, f"show map {name}").splitlines() if line]
    except OSError:
        return ""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def certificate(path: str, name: str) -> str:
    """The SHA-1 of the certificate that is in memory, in hexadecimal; empty where there is none."""
    try:
        rows = [line.partition(": ") for line in ask(path, f"show ssl cert {name}").splitlines()]
    except OSError:
        return ""
    return next((row[2].strip().upper() for row in rows if row[0].startswith("SHA1 FingerPrint")), "")


def portions(lines: list[str]) -> list[str]:
    """Texts that one command may carry: less than a buffer of HAProxy (128 KiB in our configuration)."""
    found: list[str] = []
    for line in lines:
        if found and len(found[-1]) + len(line) < PORTION:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def set_maps(path: str, maps: dict[str, dict[str, str]]) -> str:
    """All of these maps are anew, each at once; empty, or why not.

    New versions are filled beside those in use, and then put in their place by commands of one line.
    """
    commits = []
    for name, entries in sorted(maps.items()):
        said = ask(path, f"prepare map {name}")
        version = said.rpartition("New version created: ")[2].strip()
        if not version.isdigit():
            return f"prepare map {name}: {said.strip()}"
        for lines in portions([f"{key} {value}" for key, value in entries.items()]):
            if said := ask(path, f"add map @{version} {name} <<\n{lines}\n").strip():
                return f"add map {name}: {said}"
        commits.append(f"commit map @{version} {name}")
    return ask(path, "; ".join(commits)).strip() if commits else ""


def set_certificate(path: str, name: str, pem: str) -> str:
    """The running process has this certificate; empty, or why not."""
    body = "\n".join(line for line in pem.splitlines() if line)
    said = ask(path, f"set ssl cert {name} <<\n{body}\n")
    if "ransaction" not in said:
        return said.strip()
    done = ask(path, f"commit ssl cert {name}")
    return "" if "Success!" in done else done.strip()
