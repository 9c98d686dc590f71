"""Certificates for doubles and for gateways under test, from the product's own authority."""

import datetime
import ssl
from pathlib import Path

from inferfleet.gateway.authority import own_certificate

NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """An authority in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def pem(self) -> str:
        return (self.directory / "ca.pem").read_text()

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server with these names needs."""
        own_certificate(self.directory, names, NOW)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.directory / "gateway.pem", self.directory / "gateway.key")
        return context
