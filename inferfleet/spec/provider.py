"""External providers: whose models stand before or behind those of the fleet."""

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from inferfleet.spec.base import Noun, mistake
from inferfleet.spec.duration import Limit
from inferfleet.spec.reference import Reference

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


class Provider(Noun):
    """One external provider that speaks OpenAI's API."""

    url: str = Field(description="Where its API is, `https://host[:port]`, with a path where it is not below `/v1`.")
    key: Reference = Field(description="Where its key is: `env:VARIABLE` or `file:secrets/name`.")
    ca: Reference | None = Field(
        None, description="Where the certificate of its authority is, `file:...`; by default the system's authorities."
    )
    models: dict[str, str] = Field(
        default_factory=dict, description="Its models that are offered as they are: name here to name there."
    )
    parallel: int = Field(32, description="Requests that it is sent at once.", ge=1, le=10_000)
    first_token: Limit = Field(
        "30s", description="How long it may send nothing, in a stream; after it the next in the chain is asked."
    )
    answer: Limit = Field("120s", description="How long it may take for an answer that is no stream.")
    errors: int = Field(5, description="Failures in a row after which it is left out for a while.", ge=1, le=1000)
    pause: Limit = Field("15s", description="How long it is left out.")

    @field_validator("url")
    @classmethod
    def _https(cls, value: str) -> str:
        if not re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?(/[\w./-]*)?", value):
            raise mistake("is not a provider's address", "write https://host[:port], as in https://api.openai.com")
        host = urlsplit(value).hostname or ""
        if value.startswith("https://") and _is_ip(host):
            # HAProxy 3.0 compares names of a certificate alone, no addresses (src/ssl_sock.c: ssl_sock_srv_verifycbk).
            raise mistake("is an address, which no certificate is compared with", "write the provider's name")
        if value.startswith("http://") and not _is_loopback(host):
            raise mistake("sends the provider's key in clear", "write https://")
        return value.rstrip("/")

    @property
    def host(self) -> str:
        """Its host, which its certificate must name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Its TCP port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def has_tls(self) -> bool:
        """Whether it is reached over TLS."""
        return self.url.startswith("https://")

    @property
    def is_local(self) -> bool:
        """Whether its host is an address or this host itself, so that no name server is asked."""
        return _is_ip(self.host) or self.host == "localhost"

    @property
    def base(self) -> str:
        """The path that stands where clients write `/v1`."""
        return urlsplit(self.url).path or "/v1"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_ip(host) else host == "localhost"
