"""The gateway: one address in front of the fleet, its keys, and chains of models and external providers."""

import ipaddress
import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from inferfleet.spec.base import Listed, Noun, Port, ip_address, mistake
from inferfleet.spec.duration import Limit
from inferfleet.spec.model import NAME
from inferfleet.spec.provider import NAME as PROVIDER_NAME
from inferfleet.spec.provider import Provider
from inferfleet.spec.reference import Reference

# Unlike other services the gateway may have the ports of the web.
LowPort = Annotated[int, Field(ge=1, le=65535)]
_DNS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


class Certificate(Noun):
    """A certificate that you have."""

    certificate: Reference = Field(description="Where it is, with the authorities between it and the root: `file:...`.")
    key: Reference = Field(description="Where its private key is: `file:...` or `env:...`.")


class Gateway(Noun):
    """The gateway of the fleet, on a host whose data has it."""

    listen: str = Field("0.0.0.0", description="Address it listens on.")
    port: LowPort = Field(443, description="TCP port it answers on.")
    http_port: LowPort | None = Field(
        80, description="TCP port that sends browsers to the other one and answers nothing else; `None` for none."
    )
    tls: bool = Field(True, description="`False` for none, where it listens on a private address.")
    certificate: Certificate | None = Field(
        None,
        description="A certificate that you have; by default one from an authority that is made in the project and "
        "signs for this gateway alone.",
    )
    names: Annotated[tuple[str, ...], Listed] = Field(
        (), description="Names and addresses that its own certificate is for, beside the host's."
    )
    keys: Reference = Field(description="Where the users' keys are, `file:secrets/keys.toml`; only their hashes.")
    providers: dict[str, Provider] = Field(default_factory=dict, description="External providers by name.")
    chains: dict[str, Annotated[tuple[str, ...], Listed]] = Field(
        default_factory=dict,
        description="Who answers under a name, in order, until one does: models of the fleet, other chains, and "
        "`provider:model`.",
    )
    takeover: float = Field(
        0.5,
        description="Share of a model's slots that chains may take where it stands in for another. More is refused at "
        "once, so that its own users still have the rest.",
        gt=0,
        le=1,
    )
    queue: int = Field(64, description="Requests that may wait for each model; more get 429.", ge=0, le=100_000)
    key_share: float = Field(0.5, description="Share of a model's queue that one key may fill.", gt=0, le=1)
    queue_timeout: Limit = Field("30s", description="How long a request may wait there.")
    first_token: Limit = Field(
        "60s", description="How long an engine may send nothing, in a stream; before the first byte another is asked."
    )
    answer: Limit = Field("600s", description="How long an engine may take for an answer that is no stream.")
    max_body: str = Field("8m", description="Largest request, such as `8m`; at most `64m`.")
    connections: int = Field(4000, description="Clients at once.", ge=10, le=500_000)
    metrics_port: Port = Field(8404, description="TCP port of its metrics, on the host's loopback alone.")
    prober_port: Port = Field(9600, description="TCP port of its prober, on the host's loopback alone.")

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        return ip_address(value)

    @field_validator("names")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _is_ip(name) and not _DNS.fullmatch(name):
                raise mistake(f"{name!r} is no name of a host", "write names and addresses, as in llm.example.net")
        return value

    @field_validator("max_body")
    @classmethod
    def _size(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d?m", value) or int(value[:-1]) > 64:
            raise mistake("is not a size that is served", "write whole MiB from 1m to 64m, as in 8m")
        return value

    @field_validator("providers")
    @classmethod
    def _provider_names(cls, value: dict[str, Provider]) -> dict[str, Provider]:
        for name in value:
            if not PROVIDER_NAME.fullmatch(name):
                raise mistake(f"{name!r} is no name of a provider", "write lower-case letters, digits and dashes")
        return value

    @field_validator("chains")
    @classmethod
    def _chain_names(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, tiers in value.items():
            if not NAME.fullmatch(name):
                raise mistake(f"{name!r} is no name of a model", "write it as clients will, as in gpt-4o")
            if not tiers:
                raise mistake(f"{name!r} has nobody in it", 'write who answers, as in ["openai:gpt-4o", "llama2:13b"]')
        return value

    @model_validator(mode="after")
    def _ports_once(self) -> "Gateway":
        ports = [port for port in (self.port, self.http_port, self.metrics_port, self.prober_port) if port]
        if twice := [port for port in ports if ports.count(port) > 1]:
            raise mistake(f"port {twice[0]} is taken twice", "give each a port of its own")
        return self

    @model_validator(mode="after")
    def _certificate_for_tls(self) -> "Gateway":
        if self.certificate and not self.tls:
            raise mistake("has a certificate and no TLS", "leave `tls` out, or the certificate")
        return self

    @model_validator(mode="after")
    def _keys_in_clear(self) -> "Gateway":
        address = ipaddress.ip_address(self.listen)
        if not self.tls and (address.is_unspecified or not address.is_private):
            raise mistake(
                f"without TLS, keys travel in clear to {self.listen}",
                'leave `tls` out, or listen on one private address, as in "listen": "127.0.0.1"',
            )
        return self

    @property
    def max_body_bytes(self) -> int:
        """Largest request in bytes."""
        return int(self.max_body[:-1]) * 1024 * 1024


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
