"""The files of a gateway, written only once HAProxy has found all of them good; a part of a script."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
from typing import Any

from inferfleet.remote.apt_source import fail, say
from inferfleet.remote.files import write_file

# Paths in a configuration are those of its place: it is judged there, in a namespace that ends with the question.
_JUDGE = 'mount --bind "$1" "$2" && exec /usr/sbin/haproxy -c -f "$2/$3"'


def bring_files(work: dict[str, Any]) -> dict[str, bytes | None]:
    """The declared files are there and no others; what each held before.

    A set that HAProxy would not take is not written at all, and the files before are kept beside it.
    """
    etc = work["etc"]
    before = {path: contents(path) for path in [*work["files"], *work["remove"]]}
    if not work["write"]:
        return before
    staging = f"{etc}.new"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for path, one in work["files"].items():
            put(staging + path[len(etc) :], one, work["user"], staging)
        judge(staging, work)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    keep(before, work)
    for path, one in work["files"].items():
        if before[path] != one["text"].encode() or not is_right(path, one, work["user"]):
            put(path, one, work["user"], etc)
    for path in work["remove"]:
        os.remove(path)
    return before


def contents(path: str) -> bytes | None:
    """What a file holds; None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def put(path: str, one: dict[str, Any], group: str, top: str) -> None:
    """The file, for root and the gateway's group; nobody else sees into the directory."""
    os.makedirs(top, mode=0o750, exist_ok=True)
    os.chmod(top, 0o750)
    gid = grp.getgrnam(group).gr_gid
    os.chown(top, 0, gid)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    write_file(path, one["text"], one["mode"] & ~0o077)
    os.chown(path, 0, gid)
    os.chmod(path, one["mode"])


def is_right(path: str, one: dict[str, Any], group: str) -> bool:
    """Owner, group and mode are those declared."""
    status = os.stat(path)
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, grp.getgrnam(group).gr_gid, one["mode"])


def judge(staging: str, work: dict[str, Any]) -> None:
    """HAProxy itself finds nothing wrong with either configuration; else this ends, and what runs, runs on."""
    os.makedirs(work["etc"], mode=0o750, exist_ok=True)
    for one in work["processes"]:
        name = os.path.basename(one["config"])
        words = ["unshare", "--mount", "sh", "-c", _JUDGE, "sh", staging, work["etc"], name]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["no word"]
            wrong = [line.partition(" : ")[2] for line in lines if "[ALERT]" in line] or lines[-1:]
            fail(f"HAProxy would not take the new {name}: {' '.join(wrong[0].split())}; what ran before runs on")


def keep(before: dict[str, bytes | None], work: dict[str, Any]) -> None:
    """The files before are kept, where there were any and they hold something else."""
    there = {path: data for path, data in before.items() if data is not None}
    if not there or there == {path: one["text"].encode() for path, one in work["files"].items()}:
        return
    previous = work["previous"]
    shutil.rmtree(previous, ignore_errors=True)
    for path, data in there.items():
        mode = work["files"].get(path, {"mode": 0o640})["mode"]
        put(previous + path[len(work["etc"]) :], {"text": data.decode(), "mode": mode}, work["user"], previous)


def put_back(before: dict[str, bytes | None]) -> None:
    """Each file holds what it held."""
    for path, data in before.items():
        if data is None:
            if os.path.lexists(path):
                os.remove(path)
        elif contents(path) != data:
            status = os.stat(path) if os.path.lexists(path) else None
            write_file(path, data, 0o600)
            if status:
                os.chown(path, status.st_uid, status.st_gid)
                os.chmod(path, status.st_mode & 0o7777)
    say("the files are as they were")
