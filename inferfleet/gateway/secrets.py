"""Secrets of a gateway, read on this machine from their references when its files are made, and never before.

Nothing here logs, prints or raises with a secret in it.
"""

import datetime
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inferfleet.errors import FleetError
from inferfleet.gateway.authority import own_certificate
from inferfleet.gateway.certificates import checked
from inferfleet.plan import GatewayPlan
from inferfleet.spec import Key, parse_keys


@dataclass(frozen=True)
class Secrets:
    """What a gateway's files hold beside its plan.

    Attributes:
        keys: of users, by their hashes.
        providers: the key of each provider.
        certificate: PEM of the certificate, those above it, and its private key; None without TLS.
        authorities: PEM of the authorities of providers that are not the system's.
    """

    keys: tuple[Key, ...]
    providers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = field(default=None, repr=False)
    authorities: Mapping[str, str] = field(default_factory=dict)


def resolve(reference: str, where: str, base: Path | None = None) -> str:
    """The text behind `env:VARIABLE` or `file:path`, without the end of line that editors add.

    Args:
        reference: it.
        where: the setting that names it, for the error.
        base: directory from which a relative path counts; by default the working directory.

    Raises:
        FleetError: there is no such variable or file, it cannot be read, is empty, or is no text.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = os.environ.get(name)
        if found is None:
            raise FleetError(f"{where}: {reference} is not set", f"export {name}, or name a file, as in file:secrets/x")
    else:
        found = _file(reference, where, (base or Path.cwd()) / name)
    if not found.strip():
        raise FleetError(f"{where}: {reference} is empty", "put the secret there")
    return found.rstrip("\r\n")


def _file(reference: str, where: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FleetError(f"{where}: {reference} is not there", f"make it: {path}") from None
    except UnicodeDecodeError:
        raise FleetError(f"{where}: {reference} is no text", "write it anew") from None
    except OSError as error:
        raise FleetError(f"{where}: {reference} cannot be read ({error.strerror})", "see its rights") from None


def read_secrets(plan: GatewayPlan, base: Path | None = None, now: datetime.datetime | None = None) -> Secrets:
    """Every secret that a gateway's files need. The project's own authority is made where there is none.

    Args:
        plan: its references.
        base: the project's directory, from which relative paths count; by default the working directory.
        now: with its time zone; by default the present.

    Raises:
        FleetError: a reference leads nowhere, what is behind it is no key, or a certificate does not hold.
        SpecError: one line for each mistake in the file of keys.
    """
    settings = plan.settings
    keys = parse_keys(resolve(settings.keys, "gateway.keys", base), settings.keys, plan.offered)
    providers, authorities = {}, {}
    for name, spec in plan.providers.items():
        where = f"gateway.providers.{name}"
        key = resolve(spec.key, f"{where}.key", base).strip()
        if not re.fullmatch(r"[!-~]{1,4096}", key):
            raise FleetError(f"{where}.key: what {spec.key} holds is no key", "write the key alone, on one line")
        providers[name] = key
        if spec.ca:
            authorities[name] = resolve(spec.ca, f"{where}.ca", base) + "\n"
    certificate = _certificate(plan, base or Path.cwd(), now or datetime.datetime.now(datetime.UTC))
    return Secrets(keys, providers, certificate, authorities)


def _certificate(plan: GatewayPlan, base: Path, now: datetime.datetime) -> str | None:
    settings, where = plan.settings, "gateway.certificate"
    if not settings.tls:
        return None
    if given := settings.certificate:
        pem = resolve(given.certificate, f"{where}.certificate", base)
        return checked(pem, resolve(given.key, f"{where}.key", base), where, now)
    listens = () if ipaddress.ip_address(settings.listen).is_unspecified else (settings.listen,)
    names = tuple(dict.fromkeys((plan.node, *settings.names, *listens)))
    return own_certificate(base / "secrets", names, now)
