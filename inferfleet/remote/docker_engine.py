"""Bring Docker about: firewall, packages, daemon.json, the daemon, our network. Ends when Docker answers.

Told what `changes.docker` gives as work. Each step may be done again; killed anywhere, the next run ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import time
from typing import Any, NoReturn

from inferfleet.remote.apt_source import bring_packages, fail, say
from inferfleet.remote.apt_state import output, text_of
from inferfleet.remote.docker_api import Docker, DockerError
from inferfleet.remote.docker_info import in_force, same_setting
from inferfleet.remote.files import write_file
from inferfleet.remote.firewall_load import firewall, run_quietly, systemctl

READY_S = 90
RELOAD_S = 10
VALIDATED = "/run/inferfleet-daemon.json"
DOCKER = Docker(timeout=15)


# --- the daemon ---------------------------------------------------------------------------------


def validate(text: str) -> None:
    """Docker itself finds nothing wrong with the file's text (`--validate` came with Docker 23)."""
    # It may hold secrets of others.
    write_file(VALIDATED, text, 0o600)
    try:
        wrong = run_quietly("dockerd", "--validate", "--config-file", VALIDATED)
    finally:
        os.remove(VALIDATED)
    if wrong and "unknown flag" not in wrong:
        fail(f"Docker would not take the new daemon.json: {wrong.replace(VALIDATED, 'it')}; the old one is in force")


def write_record(record: dict[str, Any], ours: str, running: Any) -> None:
    """What is ours in the file, and what the running daemon was started with."""
    write_file(record["path"], json.dumps({"ours": record[ours], "running": running}, indent=1) + "\n")


def noted(record: dict[str, Any]) -> Any:
    """What the last run wrote of the running daemon."""
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(text_of(record["path"]) or "{}").get("running")
    return None


def daemon_id() -> str:
    """What tells the running daemon from any other."""
    pid = output("systemctl", "show", "-P", "MainPID", "docker.service").strip()
    fields = (text_of(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    boot = (text_of("/proc/sys/kernel/random/boot_id") or "").strip()
    return f"{boot} {fields[19]}" if len(fields) > 19 else ""


def answers(seconds: float | None = None) -> dict[str, Any] | None:
    """What Docker says of itself, as soon as it does; None where it does not in time, or has given up."""
    end = time.monotonic() + (READY_S if seconds is None else seconds)
    while True:
        # Asking the socket of one that has failed would start it again and again.
        active = output("systemctl", "show", "-P", "ActiveState", "docker.service").strip()
        if active == "active":
            with contextlib.suppress(DockerError):
                found: dict[str, Any] = DOCKER.ask("/info")
                return found
        if time.monotonic() > end or active == "failed":
            return None
        time.sleep(0.1)


def not_in_force(expected: dict[str, Any], info: dict[str, Any] | None) -> str:
    """The first setting that the daemon has otherwise; empty where it has all."""
    found = in_force(info or {})
    for key, value in expected.items():
        if not same_setting(key, value, found[key]):
            return f"{key} is {json.dumps(found[key])}, declared is {json.dumps(value)}"
    return ""


def reload(expected: dict[str, Any]) -> str:
    """The daemon has read its file anew; empty, or what it has otherwise after some seconds."""
    systemctl("reload", "docker")
    end = time.monotonic() + RELOAD_S
    while True:
        wrong = not_in_force(expected, answers(RELOAD_S))
        if not wrong or time.monotonic() > end:
            return wrong
        time.sleep(0.1)


def restart(expected: dict[str, Any]) -> bool:
    """Docker runs anew and answers; containers outlive it where live-restore is to be in force."""
    info = answers(0)
    late = info is not None and expected.get("live-restore") and not info.get("LiveRestoreEnabled")
    if late and (wrong := reload({"live-restore": True})):
        fail(f"Docker does not take up live-restore, and was not restarted: {wrong}")
    run_quietly("systemctl", "reset-failed", "docker.service", "docker.socket")
    run_quietly("systemctl", "restart", "docker")
    return answers() is not None


def journal(unit: str) -> str:
    """The unit's last words."""
    return " | ".join(output("journalctl", "-q", "-n", "5", "-o", "cat", "-u", unit).strip().splitlines())


def daemon(work: dict[str, Any]) -> None:
    """The file is as told, and the daemon runs with it; else the old file is back, and Docker runs with that."""
    file, record = work["daemon"], work["record"]
    path = os.path.realpath(file["path"])
    old = text_of(path)
    # A run that died has left its last command at work; this one, which waited for it, may find it done.
    if file["text"] is not None and old not in (file["found"], file["text"]):
        fail(f"{path} was changed meanwhile; run again")
    new = old if file["text"] is None else file["text"]
    if work["action"] or file["text"] is not None:
        validate(new or "{}")
    if file["text"] is not None:
        write_record(record, "meanwhile", noted(record))
        # It may hold secrets of others: as closed as it was.
        write_file(path, new or "", stat.S_IMODE(os.stat(path).st_mode) if old is not None else 0o644)
    systemctl("unmask", "--quiet", "docker.service", "docker.socket")
    systemctl("enable", "--quiet", "docker.service")
    if work["action"] == "reload" and (wrong := reload(record["expected"])):
        fail(f"Docker was told to read {path} anew, but {wrong}")
    if work["action"] == "restart" and not restart(record["expected"]):
        give_up(path, old, changed=file["text"] is not None)
    check(work)


def give_up(path: str, old: str | None, changed: bool) -> NoReturn:
    """Say why Docker does not start; with a new file, once more with the old one."""
    said, back = journal("docker"), ""
    if changed:
        if old is None:
            os.remove(path)
        else:
            write_file(path, old, stat.S_IMODE(os.stat(path).st_mode))
        back = ", and runs again with the old daemon.json" if restart({}) else ", with the old daemon.json neither"
    fail(f"Docker does not start{back}: {said}")


def check(work: dict[str, Any]) -> None:
    """Docker answers and has what is declared; then it is noted what it was started with."""
    record, info = work["record"], answers()
    if info is None:
        fail(f"Docker does not answer on its socket: {journal('docker')}")
    if wrong := not_in_force(record["expected"], info):
        fail(f"Docker runs, but {wrong}; a flag of its unit may overrule daemon.json")
    started = {"id": daemon_id(), "values": record["values"]}
    write_record(record, "ours", started if work["action"] == "restart" else noted(record))
    version = str(info.get("ServerVersion"))
    say(f"Docker {version} answers")
    if int(version.partition(".")[0]) < work["needs"]:
        fail(f"Docker {version} knows no CDI, by which containers get cards; use docker-ce")


def network(work: dict[str, Any]) -> None:
    """Our network is there; one that differs is made anew, and what was on it is taken off."""
    name, there = work["name"], DOCKER.found(f"/networks/{work['name']}")
    if there and work["how"] == "anew":
        for container in there.get("Containers") or {}:
            DOCKER.ask(f"/networks/{name}/disconnect", {"Container": container, "Force": True})
        DOCKER.ask(f"/networks/{name}", method="DELETE")
        there = None
    if not there:
        DOCKER.ask("/networks/create", work["body"])
        say(f"network {name} is there")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)
    os.environ.update(work["proxy"])
    early = bool(shutil.which("nft"))
    if early:
        firewall(work["firewall"])
    bring_packages(work)
    if not early:
        firewall(work["firewall"])
    daemon(work)
    network(work["network"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError) as problem:
        fail(f"docker: {problem}")
