"""All files of a gateway, from its plan and its secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferfleet.gateway.config import configs
from inferfleet.gateway.maps import maps, text
from inferfleet.gateway.secrets import Secrets
from inferfleet.plan import GatewayPlan
from inferfleet.render import render

# Maps that HAProxy may be told anew while it runs; another of these needs no reload.
LIVE = ("keys", "sets", "rpm", "concurrency", "allow", "models", "tags", "providers")


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        text: what it holds; it may be a secret, so that it is not shown.
        mode: its rights, for the gateway's user.
        secret: whether it holds a secret, so that no difference of it may be shown either.
        entries: of a map that may be changed at run time, its keys and values; else None.
    """

    text: str = field(repr=False)
    mode: int = 0o600
    secret: bool = False
    entries: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Places:
    """Directories on the gateway.

    Attributes:
        etc: of its files, owned by its user.
        run: of its sockets; only its user may enter.
    """

    etc: str = "/etc/inferfleet/gateway"
    run: str = "/run/inferfleet-gateway"


def gateway_files(plan: GatewayPlan, secrets: Secrets, places: Places | None = None) -> dict[str, File]:
    """Path below `places.etc` -> file. The same plan and secrets give the same files.

    `haproxy.cfg` is the gateway; `large.cfg` the process for large bodies beside it, which must be started first.
    """
    at = places or Places()
    found = {name: File(config, 0o640) for name, config in configs(plan, at.etc, at.run).items()}
    found["lua/gateway.lua"] = File(render("gateway/gateway.lua"), 0o644)
    for name, entries in maps(plan, secrets.keys, secrets.providers).items():
        live = entries if name in LIVE else None
        found[f"maps/{name}.map"] = File(text(entries), 0o600, name in ("keys", "providers"), live)
    if secrets.certificate is not None:
        found["tls/gateway.pem"] = File(secrets.certificate, 0o600, True)
    for name, pem in secrets.authorities.items():
        found[f"tls/{name}.ca.pem"] = File(pem, 0o644)
    return found
