"""Docker on a node: which package, at which version, and what its daemon is told."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from inferfleet.spec.base import Listed, Noun, mistake


class AddressPool(Noun):
    """One range from which Docker takes the addresses of its networks."""

    base: str = Field(description="The range, such as `10.200.0.0/16`.")
    size: int = Field(description="Prefix length of each network taken from it, such as 24.", ge=8, le=30)

    @model_validator(mode="after")
    def _fits(self) -> "AddressPool":
        try:
            network = ipaddress.IPv4Network(self.base)
        except ValueError:
            raise mistake(
                f"base {self.base!r} is not an IPv4 range", "write it as in 10.200.0.0/16, no bit set after the prefix"
            ) from None
        if self.size < network.prefixlen:
            raise mistake(f"networks of /{self.size} do not fit in {self.base}", "write a larger `size`")
        return self


class Docker(Noun):
    """Docker Engine on the nodes that run containers; nodes that run none get no Docker."""

    package: Literal["docker-ce", "docker.io"] = Field(
        "docker-ce", description="`docker-ce` from Docker's own repository, or `docker.io` of the distribution."
    )
    version: str | None = Field(
        None,
        description="Upstream version such as `28.2.2`, or a package's whole version; by default what is installed, "
        "on a bare host the newest. It is held either way.",
        min_length=1,
    )
    replace: bool = Field(False, description="Whether packages that stand in Docker's way are removed.")
    live_restore: bool = Field(True, description="Whether containers outlive a stop of the daemon.")
    log_max_size: str = Field("10m", description="Size at which a container's log is rotated.")
    log_max_files: int = Field(3, description="Rotated logs that are kept of a container.", ge=1, le=1000)
    address_pools: Annotated[tuple[AddressPool, ...], Listed] = Field(
        (), description="Ranges for Docker's networks, where its own (172.17-31, 192.168) are taken at the site."
    )
    registry_mirrors: Annotated[tuple[str, ...], Listed] = Field(
        (), description="Mirrors of Docker Hub, `https://...`."
    )
    insecure_registries: Annotated[tuple[str, ...], Listed] = Field(
        (), description="Registries without TLS, `host[:port]`; that of `sources.images` need not be named."
    )
    require_digest: bool = Field(False, description="Whether an image without a digest is refused.")

    @field_validator("version")
    @classmethod
    def _version_form(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(\d+:)?\d[\w.+~-]*", value):
            raise mistake("is not a version", "write it as in 28.2.2, or as `apt-cache policy docker-ce` shows it")
        return value

    @field_validator("log_max_size")
    @classmethod
    def _size_form(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d*[kmg]", value):
            raise mistake("is not a size", "write a whole number and k, m or g, as in 10m")
        return value

    @field_validator("registry_mirrors")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", entry):
                raise mistake(f"{entry!r} is not a registry's address", "write http(s)://host[:port]")
        return tuple(entry.rstrip("/") + "/" for entry in value)  # as Docker shows them

    @field_validator("insecure_registries")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not re.fullmatch(r"[\w.-]+(:\d+)?|[\d.]+/\d+", entry):
                raise mistake(f"{entry!r} is not a registry's host", "write host[:port], without http://")
        return value
