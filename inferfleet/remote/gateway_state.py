"""Answer, as one line of JSON, everything that decides whether this host's gateway is as declared.

Asked with what `engines.gateway_host` gives; alters nothing, and tells of secrets no more than digests.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import urllib.request
from typing import Any

from inferfleet.remote.apt_state import apt_state, output, release, text_of
from inferfleet.remote.haproxy import certificate, info, loaded, map_digest

SHOWN = "Id,LoadState,ActiveState,UnitFileState,MainPID,NeedDaemonReload"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def account(user: str, group: str) -> dict[str, bool]:
    """Whether the user and the group are there."""
    found = {"user": True, "group": True}
    try:
        pwd.getpwnam(user)
    except KeyError:
        found["user"] = False
    try:
        grp.getgrnam(group)
    except KeyError:
        found["group"] = False
    return found


def file_state(path: str, shown: bool) -> dict[str, Any]:
    """A file's digest, rights, owner and group; its text where that may be shown."""
    with open(path, "rb") as file:
        data = file.read()
    status = os.stat(path)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "mode": stat.S_IMODE(status.st_mode),
        "owner": f"{status.st_uid}:{group}",
        "text": data.decode("utf-8", "replace") if shown else None,
    }


def files(top: str, shown: list[str]) -> dict[str, Any]:
    """All files below a directory."""
    found = {}
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                found[path] = file_state(path, path in shown)
    return found


def units(names: list[str]) -> dict[str, dict[str, Any]]:
    """What systemd says of units, their files, and what their processes were started with."""
    blocks = output("systemctl", "show", "-p", SHOWN, *names).split("\n\n")
    rows = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    shown = {row.get("Id", ""): row for row in rows}
    found = {}
    for name in names:
        row = shown.get(name, {})
        pid = row.get("MainPID", "0")
        environment = (text_of(f"/proc/{pid}/environ") or "").split("\0")
        values = dict(word.split("=", 1) for word in environment if "=" in word)
        # HAProxy sets the other one itself, from its configuration, and hands it on when it executes itself anew.
        started_with = values.get("INFERFLEET_UNIT") or values.get("INFERFLEET_SPEC", "")
        found[name] = {
            "text": text_of(f"/etc/systemd/system/{name}"),
            "active": row.get("ActiveState", ""),
            "enabled": row.get("UnitFileState", ""),
            "stale": row.get("NeedDaemonReload") == "yes",
            "started_with": started_with,
        }
    return found


def listeners(ports: list[Any], ours: list[str]) -> list[dict[str, Any]]:
    """Programs that are none of ours and listen on these ports, where they stand in the way."""
    found = []
    for line in output("ss", "-Hltnp").splitlines():
        words = line.split()
        address, _, port = words[3].rpartition(":")
        address = re.sub("%.*", "", address).strip("[]")
        if not any(str(wanted) == port and overlap(address, where) for where, wanted in ports):
            continue
        users = re.findall(r'\("([^"]*)",pid=(\d+)', line)
        cgroups = [text_of(f"/proc/{pid}/cgroup") or "" for _, pid in users]
        if any(unit in text for unit in ours for text in cgroups):
            continue
        found.append({"port": int(port), "address": address, "program": users[0][0] if users else "another program"})
    return found


def overlap(one: str, other: str) -> bool:
    """Whether two programs cannot both listen there."""
    anywhere = ("0.0.0.0", "::", "*")
    return one == other or one in anywhere or other in anywhere


def haproxy(ask: dict[str, Any]) -> dict[str, Any]:
    """What each running process has read; maps and certificate of the main one."""
    found = {}
    for name, one in ask["processes"].items():
        state: dict[str, Any] = {"loaded": loaded(one["socket"], "INFERFLEET_SPEC")}
        state["version"] = info(one["socket"]).get("Version", "")
        if one["main"]:
            state["maps"] = {path: map_digest(one["socket"], path) for path in ask["maps"]}
            state["certificate"] = certificate(one["socket"], ask["certificate"])
        found[name] = state
    return found


def prober(ask: dict[str, Any]) -> dict[str, Any]:
    """The program and configuration that are there, and those that run."""
    there = {}
    for part in ("program", "config"):
        try:
            with open(ask[part], "rb") as file:
                there[part] = hashlib.sha256(file.read()).hexdigest()
        except OSError:
            there[part] = ""
    try:
        with _DIRECT.open(f"http://{ask['status']}/status", timeout=5) as answer:
            status = json.load(answer)
    except (OSError, ValueError):
        status = {}
    running = {"program": status.get("program", ""), "config": status.get("config", {}).get("sha256", "")}
    return {"there": there, "running": running, "text": text_of(ask["config"])}


def candidates() -> list[str]:
    """The versions of HAProxy that this host's sources have, newest first."""
    rows = [line.split("|") for line in output("apt-cache", "madison", "haproxy").splitlines()]
    return list(dict.fromkeys(row[1].strip() for row in rows if len(row) == 3))


def program_version() -> str:
    """The version of the program that a start would run."""
    try:
        done = subprocess.run(["/usr/sbin/haproxy", "-v"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    words = done.stdout.decode("utf-8", "replace").split()
    return words[2] if len(words) > 2 else ""


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    names = [*ask["processes"], ask["prober"]["unit"]]
    apt = apt_state(None, ask["packages"])
    state = {
        "root": os.geteuid() == 0,
        "host": release(),
        "apt": apt,
        "candidates": [] if "haproxy" in apt["installed"] else candidates(),
        "version": program_version(),
        "account": account(ask["user"], ask["group"]),
        "files": files(ask["etc"], ask["shown"]),
        "units": units(names),
        "haproxy": haproxy(ask),
        "prober": prober(ask["prober"]),
        "strangers": listeners(ask["ports"], names),
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"gateway: {error}")
