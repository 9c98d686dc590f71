"""A host whose Docker is exactly as declared."""

import json
from typing import Any

from inferfleet.changes.docker import NETWORK_BODY
from inferfleet.changes.docker_packages import filled
from inferfleet.engines.docker_host import LABEL, DockerHost, Firewall
from inferfleet.spec import Docker, Sources

FULL = "5:28.1.1-1~debian.13~trixie"
FIREWALL = Firewall("the rules\n", "the unit\n")
HOST = {"distribution": "debian", "suite": "trixie", "arch": "amd64"}


def declared(needs_cdi: bool = True, sources: dict[str, Any] | None = None, **settings: Any) -> DockerHost:
    return DockerHost(Docker(**settings), Sources(**(sources or {})), needs_cdi=needs_cdi)


def content(host: DockerHost) -> dict[str, Any]:
    """daemon.json with nothing but ours."""
    found: dict[str, Any] = {}
    for key, value in host.daemon.items():
        outer, _, inner = key.partition(".")
        found[outer] = {inner: value} if inner else value
    return found


def state_of(host: DockerHost, theirs: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of `remote/docker_state.py`; `theirs` stands in daemon.json beside ours."""
    daemon = host.daemon
    notes = {key: {"before": None, "set": value} for key, value in daemon.items()}
    source = host.source and {
        "text": filled(host.source["text"], HOST),
        "key": host.source["fingerprints"],
        "conflicts": [],
    }
    mine = {"docker-ce": FULL, "docker-ce-cli": FULL, "containerd.io": "1.7.27-1"}
    if host.settings.package == "docker.io":
        mine = {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9", "containerd": "1.7.24~ds1-6"}
    return {
        "asked": True,
        "root": True,
        "host": HOST,
        "apt": {"installed": {**mine, "iptables": "1", "nftables": "1"}, "held": sorted(mine), "source": source},
        "snap": False,
        "rootless": [],
        "service": {"docker.service": {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}},
        "process": {"id": "boot 1", "started": 100.0, "flags": ["containerd"]},
        "daemon": {"text": json.dumps({**(theirs or {}), **content(host)}), "written": 50.0},
        "record": {
            "ours": notes,
            "running": {"id": "boot 1", "values": {key: daemon[key] for key in ("ip", "log-opts")}},
        },
        "docker": {
            "version": "28.1.1",
            "root": "/var/lib/docker",
            "in_force": {
                "live-restore": daemon["live-restore"],
                "log-driver": "local",
                "registry-mirrors": daemon.get("registry-mirrors", []),
                "insecure-registries": daemon.get("insecure-registries", []),
                "default-address-pools": daemon.get("default-address-pools", []),
                "features.cdi": "features.cdi" in daemon,
            },
            "swarm": False,
            "running": 0,
            "ours": 0,
            "network": {"labels": {LABEL: ""}, "driver": "bridge", "options": NETWORK_BODY["Options"], "containers": 0},
        },
        "disk": {"path": "/var/lib/docker", "free": 10**12, "inodes": 10**6},
        "bridge": True,
        "firewall": {
            "rules": FIREWALL.rules,
            "unit": FIREWALL.unit,
            "active": "active",
            "enabled": "enabled",
            "stale": False,
            "table": "right",
        },
    }
