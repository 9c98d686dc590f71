"""Fetch a release, check it, unpack it beside the others, make it live by one rename, remove older ones.

Told {"root", "version", "base", "archive", "sha256", "proxy", "unpack", "keep"}. Killed at any point it leaves the live
version as it was, and the next run begins anew. (Where the live version itself is repaired there is one instant,
between two renames, in which it is away.)
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def fail(text: str) -> NoReturn:
    """End with one line for the user."""
    sys.exit(f"ollama: {text}")


def say(text: str) -> None:
    """One line for the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fetch(url: str) -> Any:
    """The open answer of a web server; ends where it refuses or is not there."""
    try:
        return urllib.request.urlopen(url, timeout=60)
    except urllib.error.HTTPError as error:
        fail(f"{url} answers {error.code} {error.reason}; check `sources` and `version`")
    except (OSError, http.client.HTTPException) as error:
        fail(f"{url} cannot be reached: {getattr(error, 'reason', error)!s}; check `sources`")


def wanted_sha256(work: dict[str, Any], archive: str) -> str:
    """The declared digest, else the one in the source's own list."""
    if work["sha256"]:
        return str(work["sha256"])
    url = f"{work['base']}/sha256sum.txt"
    try:
        with fetch(url) as answer:
            text = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        fail(f"{url} broke off: {error}; run again")
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and parts[1].lstrip("*./") == archive:
            return str(parts[0])
    fail(f"{url} does not list {archive}; set `sha256` or check the source")


def check_space(root: str, size: int) -> None:
    """Packed and unpacked lie beside each other; a release unpacks to about three times its size."""
    need, free = 4 * size, shutil.disk_usage(root).free
    if free < need:
        fail(f"disk is full: {root} has {free // 10**6} MB free, {need // 10**6} MB are needed")


def download(url: str, path: str, wanted: str) -> None:
    """Fetch a file; ends, and leaves no file of another digest, where it breaks off or is not the wanted one."""
    digest, done, shown = hashlib.sha256(), 0, time.time()
    with fetch(url) as answer, open(path, "wb") as file:
        size = int(answer.headers.get("Content-Length") or 0)
        check_space(os.path.dirname(path), size)
        while True:
            try:
                block = answer.read(1 << 20)
            except (OSError, http.client.HTTPException) as error:
                fail(f"{url} broke off after {done // 10**6} MB: {error}; run again")
            if not block:
                break
            file.write(block)
            digest.update(block)
            done += len(block)
            if time.time() - shown > 3:
                shown = time.time()
                say(f"fetching {os.path.basename(url)}: {done // 10**6} of {size // 10**6} MB")
    # http.client does not complain when a connection ends before Content-Length is reached.
    if done < size:
        fail(f"{url} broke off after {done} of {size} bytes; run again")
    if digest.hexdigest() != wanted:
        fail(f"{url} has SHA-256 {digest.hexdigest()}, wanted is {wanted}; nothing was installed")


def listing(directory: str) -> dict[str, list[int]]:
    """Size and time of every file, to see later whether one was changed."""
    found = {}
    for parent, _, files in os.walk(directory):
        for name in files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            found[os.path.relpath(path, directory)] = [status.st_size, int(status.st_mtime)]
    return found


def sha256(path: str) -> str:
    """The digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def unpack(work: dict[str, Any]) -> None:
    """The release lies whole at its place, with a list of its files beside them."""
    root, version = work["root"], work["version"]
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        fail(f"there is no release for {machine}")
    archive = work["archive"].replace("{arch}", ARCHITECTURES[machine])
    packed, directory = f"{root}/.fetch-{version}", f"{root}/.unpack-{version}"
    download(f"{work['base']}/{archive}", packed, wanted_sha256(work, archive))
    os.makedirs(directory)
    command = ["tar", "--zstd", "--no-same-owner", "-xf", packed, "-C", directory]
    tar = subprocess.run(command, stderr=subprocess.PIPE)
    if tar.returncode:
        said = tar.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        fail(f"{archive} does not unpack: {said[0] if said else f'tar ended with {tar.returncode}'}")
    os.remove(packed)
    if not os.path.isfile(f"{directory}/bin/ollama"):
        fail(f"{archive} holds no bin/ollama; is it Ollama's release?")
    marker = {"files": listing(directory), "binary": sha256(f"{directory}/bin/ollama")}
    with open(f"{directory}/.inferfleet.json", "w", encoding="utf-8") as file:
        json.dump(marker, file)
    os.sync()
    replace(directory, f"{root}/{version}")


def replace(directory: str, place: str) -> None:
    """A process that still runs from the old directory keeps its open files."""
    if os.path.exists(place):
        os.rename(place, f"{os.path.dirname(place)}/.old-{time.time():.0f}")
    os.rename(directory, place)


def make_live(root: str, version: str) -> None:
    """`current` points at the version, in one step."""
    link = f"{root}/.current"
    if os.path.lexists(link):
        os.remove(link)
    os.symlink(version, link)
    os.replace(link, f"{root}/current")


def leftovers(root: str) -> None:
    """What a killed run left behind is gone."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name.startswith((".fetch-", ".unpack-", ".old-")):
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def remove_older(root: str, keep: list[str]) -> None:
    """Only what we unpacked: it carries our list of files. Renamed first, so that a kill leaves a known leftover."""
    for name in set(os.listdir(root)) - set(keep) - {"current"}:
        if os.path.exists(f"{root}/{name}/.inferfleet.json"):
            os.rename(f"{root}/{name}", f"{root}/.old-{name}")
            shutil.rmtree(f"{root}/.old-{name}")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)  # a hardened host's 077 would shut the service's user out of what root makes
    os.environ.update(work["proxy"])
    root = work["root"]
    os.makedirs(root, exist_ok=True)
    leftovers(root)
    try:
        if work["unpack"]:
            unpack(work)
        make_live(root, work["version"])
        remove_older(root, work["keep"])
    finally:
        leftovers(root)
    say(f"Ollama {work['version']} is live")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, http.client.HTTPException) as problem:
        fail(str(problem))
