"""What a host's Docker must be, as plain data."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inferfleet.spec import Docker, Sources

NETWORK, BRIDGE = "inferfleet", "inferfleet0"
LABEL = "inferfleet.instance"
DAEMON_JSON = "/etc/docker/daemon.json"
RECORD = "/var/lib/inferfleet/docker.json"
KEYRING, SOURCE = "/etc/apt/keyrings/docker.gpg", "/etc/apt/sources.list.d/docker.sources"
FIREWALL, FIREWALL_UNIT = "/etc/inferfleet/firewall.nft", "inferfleet-firewall.service"
DISTRIBUTIONS = ("debian", "ubuntu")
# The packages of each, the engine first; all of them are held. containerd's version is its own.
ENGINE = {
    "docker-ce": ("docker-ce", "docker-ce-cli", "containerd.io"),
    "docker.io": ("docker.io", "docker-cli", "containerd"),
}
# What a rule set needs; the distribution's package only recommends iptables.
SUPPORT = ("iptables", "nftables")
# What must not be there beside it (docs.docker.com, "Uninstall old versions", as of Engine 29).
_DISTRIBUTIONS_OWN = ("docker.io", "docker-cli", "docker-compose", "docker-compose-v2", "docker-doc")
_UPSTREAMS = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
CONFLICTS = {
    "docker-ce": (*_DISTRIBUTIONS_OWN, "podman-docker", "containerd", "runc"),
    "docker.io": (*_UPSTREAMS, "docker-ce-rootless-extras", "podman-docker"),
}
PACKAGES = tuple(sorted({*SUPPORT, *(name for of in (ENGINE, CONFLICTS) for names in of.values() for name in names)}))
CDI_SINCE = 25

_SOURCE_TEXT = """# Managed by inferfleet: the next apply restores it.
Types: deb
URIs: {base}/{{distribution}}
Suites: {{suite}}
Components: stable
Architectures: {{arch}}
Signed-By: {keyring}
"""


@dataclass(frozen=True)
class Firewall:
    """Our table and the unit that keeps it loaded, as texts of files."""

    rules: str
    unit: str

    @property
    def question(self) -> dict[str, str]:
        """What `remote/firewall_state.py` is asked with."""
        return {"path": FIREWALL, "unit": FIREWALL_UNIT, "table": NETWORK, "rules": self.rules}


@dataclass(frozen=True)
class Closed:
    """Instances of a host that gateways alone may reach.

    Attributes:
        address: of the host, at which they listen.
        gateways: addresses that may reach them.
        ports: of those that are no containers.
    """

    address: str
    gateways: tuple[str, ...]
    ports: tuple[int, ...] = ()

    @property
    def family(self) -> str:
        """`ip` or `ip6`, as nft writes it."""
        return _family(self.address)

    @property
    def sources(self) -> str:
        """The gateways as a set of nft's, of the same family as the address; one of none is nobody."""
        same = [gateway for gateway in self.gateways if _family(gateway) == self.family]
        return f"{{ {', '.join(same) or self.address} }}"


def _family(address: str) -> str:
    return "ip" if ipaddress.ip_address(address).version == 4 else "ip6"


@dataclass(frozen=True)
class DockerHost:
    """The Docker of a host that runs containers.

    Attributes:
        settings: as declared.
        sources: where packages and images come from.
        published: (address, port) at which containers listen for other hosts; those on loopback may be among them.
        needs_cdi: containers get cards.
        proxy: environment variables with which the host fetches the key.
        closed: what gateways alone may reach, if anything.
    """

    settings: Docker
    sources: Sources
    published: tuple[tuple[str, int], ...] = ()
    needs_cdi: bool = False
    proxy: tuple[tuple[str, str], ...] = ()
    closed: Closed | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """All that is installed; `docker-cli` falls away where the distribution has no such package."""
        return (*ENGINE[self.settings.package], *SUPPORT)

    @property
    def source(self) -> dict[str, Any] | None:
        """Docker's own repository; `{distribution}`, `{suite}` and `{arch}` in it are filled in by the host."""
        if self.settings.package != "docker-ce":
            return None
        return {
            "key_url": f"{self.sources.docker}/{{distribution}}/gpg",
            "fingerprints": [self.sources.docker_fingerprint],
            "keyring": KEYRING,
            "path": SOURCE,
            "text": _SOURCE_TEXT.format(base=self.sources.docker, keyring=KEYRING),
        }

    @property
    def daemon(self) -> dict[str, Any]:
        """Our keys of daemon.json; a dot leads into an object."""
        settings, plain = self.settings, self.sources.images or ""
        insecure = [*settings.insecure_registries, *([plain[len("http://") :]] if plain.startswith("http://") else [])]
        optional = {
            # Needed below 28.2 and the default from there on, where it does no harm: an upgrade changes nothing here.
            "features.cdi": self.needs_cdi,
            "default-address-pools": [{"base": pool.base, "size": pool.size} for pool in settings.address_pools],
            "registry-mirrors": list(settings.registry_mirrors),
            "insecure-registries": list(dict.fromkeys(insecure)),
        }
        return {
            "log-driver": "local",
            # Docker takes text alone.
            "log-opts": {"max-size": settings.log_max_size, "max-file": str(settings.log_max_files)},
            "live-restore": settings.live_restore,
            "ip": "127.0.0.1",
            **{key: value for key, value in optional.items() if value},
        }

    def question(self, firewall: Firewall) -> dict[str, Any]:
        """What `remote/docker_state.py` is asked with."""
        return {
            "packages": list(PACKAGES),
            "source": self.source or {"keyring": KEYRING, "path": SOURCE, "text": ""},
            "daemon": DAEMON_JSON,
            "record": RECORD,
            "network": NETWORK,
            "bridge": BRIDGE,
            "label": LABEL,
            "firewall": firewall.question,
        }

    def accepted(self) -> Iterator[tuple[str, str, int, str]]:
        """(`ip` or `ip6`, original address, port, original sources or none) of what other hosts may reach, for nft."""
        for host, port in sorted(set(self.published)):
            address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
            if address.is_loopback:
                continue
            family = "ip" if address.version == 4 else "ip6"
            if not address.is_unspecified:
                yield family, str(address), port, self.closed.sources if self._is_closed(host) and self.closed else ""
                continue
            yield "ip", "!= 127.0.0.0/8", port, ""
            if family == "ip6":
                yield "ip6", "!= ::1", port, ""

    def _is_closed(self, host: str) -> bool:
        return self.closed is not None and host == self.closed.address
