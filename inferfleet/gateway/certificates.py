"""The gateway's certificate, checked before it goes anywhere: it must match its key, and hold."""

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inferfleet.errors import FleetError


def checked(certificate: str, key: str, where: str, now: datetime.datetime) -> str:
    """Certificate, those above it and private key as HAProxy wants them, in one text.

    Args:
        certificate: PEM, the gateway's own first.
        key: PEM of its private key.
        where: the setting, for the error.
        now: with its time zone.

    Raises:
        FleetError: either is no PEM, they do not belong together, or the certificate holds no longer or not yet.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificate.encode())
    except ValueError:
        raise FleetError(f"{where}: holds no certificate", "write a PEM file that begins with the gateway's") from None
    private = _private_key(key, where)
    first = chain[0]
    # Compared as bytes, since keys of different kinds have no common form of numbers.
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if first.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise FleetError(f"{where}: the key is not that of the certificate", "name the two that belong together")
    for one in chain:
        _holds(one, where, now)
    return certificate.rstrip() + "\n" + key.rstrip() + "\n"


def _private_key(key: str, where: str) -> PrivateKeyTypes:
    try:
        found = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError:
        todo = "write it without one: `openssl pkey -in KEY -out NEW`"
        raise FleetError(f"{where}: the key has a password", todo) from None
    except ValueError:
        raise FleetError(f"{where}: the key is no private key", "write it in PEM") from None
    return found


def _holds(certificate: x509.Certificate, where: str, now: datetime.datetime) -> None:
    subject = certificate.subject.rfc4514_string() or "the certificate"
    if certificate.not_valid_after_utc <= now:
        ended = certificate.not_valid_after_utc.date()
        raise FleetError(f"{where}: the certificate {subject} has expired (on {ended})", "renew it")
    if certificate.not_valid_before_utc > now:
        begins = certificate.not_valid_before_utc.date()
        raise FleetError(f"{where}: the certificate {subject} is not valid before {begins}", "see this machine's clock")


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = extension.get_values_for_type(x509.DNSName)
    return (*dns, *map(str, extension.get_values_for_type(x509.IPAddress)))


def alternative(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Names and addresses as a certificate says them."""

    def general(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    return x509.SubjectAlternativeName([general(name) for name in names])
