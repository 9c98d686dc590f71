"""An authority of the project's own: made once in the project, it signs the gateway's certificate and nothing else.

Clients are given `ca.pem`. The certificate is kept beside it and made anew a month before it ends, so that a second run
changes nothing.
"""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inferfleet.errors import FleetError
from inferfleet.gateway.certificates import alternative, checked, names_in

_YEARS_10 = datetime.timedelta(days=3650)
_YEAR = datetime.timedelta(days=365)
_MONTH = datetime.timedelta(days=30)


def own_certificate(directory: Path, names: Sequence[str], now: datetime.datetime) -> str:
    """Certificate and key of the gateway, signed by the authority in a directory of the project.

    Args:
        directory: of `ca.pem`, `ca.key` (0600), `gateway.pem`, `gateway.key` (0600); what is missing is made.
        names: what the certificate is for.
        now: with its time zone.

    Raises:
        FleetError: the directory cannot be written, or what lies there is no authority.
    """
    try:
        authority = _authority(directory, now)
        kept = _kept(directory, names, now)
        return kept or _signed(directory, authority, names, now)
    except OSError as error:
        where = error.filename or directory
        raise FleetError(f"{where}: {error.strerror}", "the gateway's own authority is kept there") from error


def _authority(directory: Path, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key = directory / "ca.pem", directory / "ca.key"
    if certificate.exists() != key.exists():
        gone = key if certificate.exists() else certificate
        raise FleetError(f"{gone}: is not there", "bring it back, or remove the other to make a new authority")
    if not key.exists():
        _make_authority(certificate, key, now)
    checked(certificate.read_text(), key.read_text(), str(certificate), now)
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise FleetError(f"{key}: is no key of an authority made here", "remove it and ca.pem to make a new one")
    return x509.load_pem_x509_certificate(certificate.read_bytes()), private


def _make_authority(certificate: Path, key: Path, now: datetime.datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inferfleet gateway authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    made = (
        _builder(name, name, private, now, _YEARS_10)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(private, hashes.SHA256())
    )
    _write(key, _pem(private), 0o600)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _kept(directory: Path, names: Sequence[str], now: datetime.datetime) -> str | None:
    """The certificate that is there, where it will do for another month and was signed by this authority."""
    certificate, key = directory / "gateway.pem", directory / "gateway.key"
    if not certificate.exists() or not key.exists():
        return None
    try:
        found = checked(certificate.read_text(), key.read_text(), str(certificate), now + _MONTH)
        made = x509.load_pem_x509_certificate(certificate.read_bytes())
        made.verify_directly_issued_by(x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes()))
    except (FleetError, ValueError, TypeError, InvalidSignature):  # whatever is wrong with it, a new one is made
        return None
    return found if set(names_in(made)) == set(names) else None


def _signed(
    directory: Path,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    names: Sequence[str],
    now: datetime.datetime,
) -> str:
    above, signing = authority
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    above_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    made = (
        _builder(subject, above.subject, private, now, _YEAR, above_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(alternative(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    pem, key = made.public_bytes(serialization.Encoding.PEM), _pem(private)
    _write(directory / "gateway.key", key, 0o600)
    _write(directory / "gateway.pem", pem, 0o644)
    return checked(pem.decode(), key.decode(), str(directory), now)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    private: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    holds: datetime.timedelta,
    above: x509.AuthorityKeyIdentifier | None = None,
) -> x509.CertificateBuilder:
    """Valid from an hour ago: clients' clocks differ."""
    public = private.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + holds)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.add_extension(above, critical=False) if above else builder


def _pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others while it is written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    new.replace(path)
