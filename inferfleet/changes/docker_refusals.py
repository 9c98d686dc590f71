"""Why a host's Docker is not touched: one line each, with what to do."""

from typing import Any

from inferfleet.changes.daemon_json import parse
from inferfleet.changes.docker_packages import in_the_way
from inferfleet.engines.docker_host import (
    CDI_SINCE,
    DAEMON_JSON,
    DISTRIBUTIONS,
    LABEL,
    NETWORK,
    DockerHost,
)

# The flag for each key of ours; given both ways, Docker does not start (moby, daemon/config/config.go).
FLAGS = {
    "log-driver": "log-driver",
    "log-opt": "log-opts",
    "live-restore": "live-restore",
    "ip": "ip",
    "feature": "features.cdi",
    "default-address-pool": "default-address-pools",
    "registry-mirror": "registry-mirrors",
    "insecure-registry": "insecure-registries",
}
FULL_BYTES = 500 * 10**6
# Their docker.io is 20.10, which knows no CDI.
_NO_CDI = ("bullseye", "bookworm")


def refusals(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    """The reasons; none for a host that may be changed."""
    if not state:
        return []
    if not state["root"]:
        return ["pyinfra is not root there; set _sudo = True in the inventory"]
    return [*_others(declared, state), *_daemon(declared, state), *_version(declared, state), *_network(state)]


def _others(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    """Another Docker, or what stands in the way of this one."""
    found = []
    if state["snap"]:
        found.append("Docker is installed as a snap there, which is none to build on; remove it: snap remove docker")
    if state["rootless"]:
        users = ", ".join(state["rootless"])
        found.append(f"{users} runs a rootless Docker there; remove it: dockerd-rootless-setuptool.sh uninstall")
    way, files = in_the_way(declared, state), (state["apt"]["source"] or {}).get("conflicts", [])
    if way and not declared.settings.replace:
        names = ", ".join(way)
        found.append(f"{names} stands in the way of {declared.settings.package}; remove it, or set docker.replace")
    if declared.source and files and not declared.settings.replace:
        names = ", ".join(files)
        found.append(f"{names} names Docker's repository with another key; remove it, or set docker.replace")
    return found


def _daemon(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    found = parse(state["daemon"]["text"])
    if isinstance(found, str):
        return [f"{DAEMON_JSON} {found}; it was left as it is: mend it"]
    if declared.settings.live_restore and state["docker"].get("swarm"):
        return ["the host is in a Docker swarm, which excludes live-restore; set docker.live_restore = False"]
    flags = (state["process"] or {}).get("flags", [])
    if both := [flag for flag in flags if FLAGS.get(flag) in declared.daemon]:
        names = " and ".join(f"--{flag}" for flag in both)
        return [f"dockerd is started with {names}, which is declared too; take it out of its unit"]
    return []


def _version(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    host, package = state["host"], declared.settings.package
    if declared.source and host["distribution"] not in DISTRIBUTIONS:
        return [f"Docker's repository has nothing for {host['distribution'] or 'this system'}; use Debian or Ubuntu"]
    if not declared.needs_cdi or package != "docker.io":
        return []
    installed = state["apt"]["installed"].get(package, "")
    if host["suite"] in _NO_CDI or (installed and int(installed.partition(".")[0]) < CDI_SINCE):
        return [f"docker.io of {host['suite']} knows no CDI, by which containers get cards; use docker-ce"]
    return []


def _network(state: dict[str, Any]) -> list[str]:
    there = state["docker"].get("network")
    if there and LABEL not in there["labels"]:
        return [f"Docker's network {NETWORK} is somebody else's; rename or remove it"]
    return []


def full_disk(state: dict[str, Any]) -> str:
    """Why nothing may be installed or written; empty where there is room."""
    disk = state.get("disk")
    if not disk or (disk["free"] >= FULL_BYTES and disk["inodes"]):
        return ""
    return f"the disk of Docker's data is full ({disk['path']} has {disk['free'] // 10**6} MB free); make room"
