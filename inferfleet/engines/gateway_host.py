"""What a gateway's host must be, as plain data: files, processes, prober, certificate."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ETC, RUN, PREVIOUS = "/etc/inferfleet/gateway", "/run/inferfleet-gateway", "/etc/inferfleet/gateway.previous"
USER, STATS = "inferfleet-gateway", "inferfleet-stats"
UNIT_DIR = "/etc/systemd/system"
PACKAGES = ("haproxy", "lua-cjson")
# The first with what the templates need: variables in `lf-string`, JSON logs, agent-check beside `observe`.
SINCE = (3, 0)
CERTIFICATE = "tls/gateway.pem"
MAIN, LARGE = "inferfleet-gateway.service", "inferfleet-gateway-large.service"


@dataclass(frozen=True)
class HostFile:
    """One file on the gateway's host.

    Attributes:
        text: what it holds; it may be a secret.
        mode: its rights; it belongs to root, and the gateway's group may read what its owner may.
        secret: whether no difference of it may be shown.
        entries: of a map that is changed at run time, its keys and values; else None.
    """

    text: str = field(repr=False)
    mode: int = 0o640
    secret: bool = False
    entries: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def sha256(self) -> str:
        """Digest of what it holds."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def entries_digest(entries: Mapping[str, str]) -> str:
    """The digest that `remote/haproxy.py` makes of a map as it is in memory."""
    return hashlib.sha256("\n".join(sorted(f"{key} {value}" for key, value in entries.items())).encode()).hexdigest()


@dataclass(frozen=True)
class Process:
    """One HAProxy, master and worker, under a unit of ours.

    Attributes:
        unit: name of the unit.
        text: the unit's file.
        started_with: digest of what a start alone can change; in the environment of its process.
        loaded: digest of the files that a reload reads; in its configuration, and said by its worker.
        config: path of its configuration.
        socket: of its worker, for the administrator.
        master: of its master.
    """

    unit: str
    text: str
    started_with: str
    loaded: str
    config: str
    socket: str
    master: str

    @property
    def path(self) -> str:
        """Of the unit's file."""
        return f"{UNIT_DIR}/{self.unit}"


@dataclass(frozen=True)
class ProberHost:
    """The prober: a program, its configuration, its unit.

    Attributes:
        unit: name of the unit.
        text: the unit's file.
        started_with: digest of what a start alone can change; in the environment of its process.
        program: path of the zip.
        program_zip: the zip itself.
        config: path of its configuration.
        config_text: the configuration; no secret is in it.
        status: address of its pages.
    """

    unit: str
    text: str
    started_with: str
    program: str
    program_zip: bytes = field(repr=False)
    config: str
    config_text: str
    status: str

    @property
    def path(self) -> str:
        """Of the unit's file."""
        return f"{UNIT_DIR}/{self.unit}"


@dataclass(frozen=True)
class GatewayHost:
    """Everything declared of one gateway.

    Attributes:
        files: path below `ETC` -> file.
        processes: in the order in which they are started.
        prober: beside them.
        ports: (address, port) that must be free for them.
    """

    files: Mapping[str, HostFile]
    processes: Sequence[Process]
    prober: ProberHost
    ports: Sequence[tuple[str, int]]

    @property
    def units(self) -> tuple[str, ...]:
        """Names of all units, in the order in which they are started."""
        return (*(process.unit for process in self.processes), self.prober.unit)

    @property
    def unit_files(self) -> tuple[tuple[str, str, str], ...]:
        """(name, path, text) of each unit."""
        own = [(one.unit, one.path, one.text) for one in self.processes]
        return (*own, (self.prober.unit, self.prober.path, self.prober.text))

    @property
    def live(self) -> dict[str, Mapping[str, str]]:
        """Maps that are changed at run time: path -> keys and values."""
        return {f"{ETC}/{name}": one.entries for name, one in self.files.items() if one.entries is not None}

    @property
    def certificate_sha1(self) -> str:
        """Of the certificate, as HAProxy says it; empty without TLS."""
        if CERTIFICATE not in self.files:
            return ""
        body = self.files[CERTIFICATE].text.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
        return hashlib.sha1(base64.b64decode(body), usedforsecurity=False).hexdigest().upper()

    @property
    def question(self) -> dict[str, Any]:
        """What `remote/gateway_state.py` is asked with; nothing secret is in it."""
        return {
            "packages": list(PACKAGES),
            "user": USER,
            "group": STATS,
            "etc": ETC,
            "certificate": f"{ETC}/{CERTIFICATE}",
            "shown": [f"{ETC}/{name}" for name, one in self.files.items() if _is_shown(name, one)],
            "maps": sorted(self.live),
            "processes": {
                one.unit: {"socket": one.socket, "master": one.master, "main": one is self.processes[-1]}
                for one in self.processes
            },
            "prober": {"unit": self.prober.unit, "program": self.prober.program, "config": self.prober.config,
                       "status": self.prober.status},
            "ports": [list(one) for one in self.ports],
        }  # fmt: skip


def _is_shown(name: str, one: HostFile) -> bool:
    """Configurations and Lua are told in a difference; maps and certificates are told by name alone."""
    return not one.secret and not name.startswith(("maps/", "tls/"))
