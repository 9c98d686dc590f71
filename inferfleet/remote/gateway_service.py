"""Bring a gateway about: packages, account, files that HAProxy has found good, processes, maps in memory, prober.

Told what `changes.gateway` gives as work. Each step may be done again; killed anywhere, the next run ends it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.request
from typing import Any

from inferfleet.remote.apt_source import fail, hold, install, say, update, versions_of
from inferfleet.remote.files import write_file
from inferfleet.remote.gateway_files import bring_files, put_back
from inferfleet.remote.gateway_host import account, quietly, systemctl, unit_journal
from inferfleet.remote.haproxy import ask, loaded, set_certificate, set_maps

READY_S = 30
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def packages(work: dict[str, Any]) -> None:
    """They are there, HAProxy at the newest version that the host's sources have, and held."""
    if "haproxy" in work["install"]:
        bring_haproxy(work["since"])
    if rest := [name for name in work["install"] if name != "haproxy"]:
        install({name: None for name in rest})
    if work["install"]:
        say(", ".join(f"{name} installed" for name in work["install"]))
    if work["hold"]:
        hold(work["hold"])


def bring_haproxy(since: list[int]) -> None:
    """It is installed, and its own unit is neither started nor enabled: the gateway has units of its own."""
    version = newest(since)
    if version is None:
        update()
        version = newest(since)
    if version is None:
        have = ", ".join(versions_of("haproxy")) or "none"
        fail(
            f"the gateway needs HAProxy {'.'.join(map(str, since))}, its sources have {have}; add a source that has "
            "it, such as the distribution's backports, or take Debian 13"
        )
    mask = "/run/systemd/system/haproxy.service"
    os.makedirs(os.path.dirname(mask), exist_ok=True)
    if not os.path.lexists(mask):
        os.symlink("/dev/null", mask)
    try:
        systemctl("daemon-reload")
        install({"haproxy": version})
        systemctl("disable", "--quiet", "haproxy.service")
    finally:
        os.remove(mask)
    systemctl("daemon-reload")


def newest(since: list[int]) -> str | None:
    """The newest version that will do; None where there is none."""
    for version in versions_of("haproxy"):
        numbers = version.partition(":")[2] or version
        first = [int(part) for part in numbers.split("-")[0].split("~")[0].split(".")[:2] if part.isdigit()]
        if first >= since:
            return version
    return None


def units(work: dict[str, Any]) -> None:
    """Their files are there, and they start at boot."""
    for path, text in work["units"].items():
        write_file(path, text)
    systemctl("daemon-reload")
    systemctl("unmask", "--quiet", *work["enable"])
    systemctl("enable", "--quiet", *work["enable"])


def process(one: dict[str, Any], before: dict[str, bytes | None]) -> None:
    """It runs with its files; where it does not take them, it has the old ones again."""
    if one["how"] == "reload":
        said = ask(one["master"], "reload")
        if not said.startswith("Success=1"):
            put_back(before)
            fail(f"{one['unit']} does not take the new configuration, the old one is in force: {alert(said)}")
    elif one["how"]:
        quietly("systemctl", "reset-failed", one["unit"])
        if wrong := quietly("systemctl", one["how"], one["unit"]):
            fail(f"{one['unit']} does not start: {unit_journal(one['unit']) or wrong}")
    end = time.monotonic() + READY_S
    while one["how"] and loaded(one["socket"], "INFERFLEET_SPEC") != one["loaded"]:
        if time.monotonic() > end:
            fail(f"{one['unit']} does not run with its files after {READY_S} s: {unit_journal(one['unit'])}")
        time.sleep(0.1)
    if one["how"]:
        say(f"{one['unit']} runs")


def alert(said: str) -> str:
    """The first that HAProxy calls wrong."""
    lines = [line for line in said.splitlines() if "[ALERT]" in line] or said.strip().splitlines() or ["no word"]
    return " ".join(lines[0].partition(" : ")[2].split()) or lines[0]


def in_memory(work: dict[str, Any]) -> None:
    """Maps and certificate of the running process are those of the files; nothing is reloaded."""
    socket = work["processes"][-1]["socket"]
    if work["maps"] and (wrong := set_maps(socket, work["maps"])):
        fail(f"the running gateway does not take a map: {wrong}")
    if work["maps"]:
        say("the running gateway has the new maps")
    path = work["certificate"]
    if path and (wrong := set_certificate(socket, path, work["files"][path]["text"])):
        fail(f"the running gateway does not take the certificate: {wrong}")


def prober(work: dict[str, Any]) -> None:
    """Program and configuration are there, and run."""
    write_file(work["program"], base64.b64decode(work["zip"]))
    write_file(work["config"], work["text"])
    if not work["how"]:
        return
    if work["how"] != "reload":
        quietly("systemctl", "reset-failed", work["unit"])
    if wrong := quietly("systemctl", work["how"], work["unit"]):
        fail(f"{work['unit']} does not start: {unit_journal(work['unit']) or wrong}")
    end = time.monotonic() + READY_S
    while probing(work["status"]) != work["sha256"]:
        if time.monotonic() > end:
            fail(f"{work['unit']} does not run with its file after {READY_S} s: {unit_journal(work['unit'])}")
        time.sleep(0.1)
    say(f"{work['unit']} runs")


def probing(status: str) -> str:
    """The digest of the configuration with which the prober runs."""
    try:
        with _DIRECT.open(f"http://{status}/status", timeout=5) as answer:
            return str(json.load(answer)["config"]["sha256"])
    except (OSError, ValueError, LookupError):
        return ""


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)
    packages(work["packages"])
    account(work["user"], work["group"])
    before = bring_files(work)
    units(work)
    # The prober first: until it answers, HAProxy takes every engine for well.
    prober(work["prober"])
    for one in work["processes"]:
        process(one, before)
    in_memory(work)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as problem:
        fail(f"gateway: {problem}")
