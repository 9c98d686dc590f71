"""Engines that serve one model from one card, or from several together: vLLM and its like."""

import ipaddress
import re
from typing import Literal

from pydantic import Field, field_validator

from inferfleet.spec.base import Noun, Port, mistake


class ServerEngine(Noun):
    """Such an engine on this fleet (or, by group data, on a part of it): planned, and not set up by this version."""

    version: str = Field(description="Release without `v`, such as `0.32.0`.")
    host: str = Field("127.0.0.1", description="Address it listens on.")
    port: Port = Field(8000, description="TCP port of a node's first instance; the others follow.")
    context: int = Field(4096, description="Context length in tokens of each request.", ge=256, le=10_485_760)
    parallel: int = Field(
        16, description="Requests answered at once; the KV cache holds each at its full context.", ge=1, le=65536
    )
    kv_cache_type: Literal["f16", "fp8"] = Field("f16", description="Type of the KV cache.")
    vram_budget_gib: float | None = Field(
        None,
        description="What an instance may take of each of its cards in GiB; by default what its model needs.",
        gt=0,
        le=65536,
    )

    @field_validator("version")
    @classmethod
    def _version_form(cls, value: str) -> str:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})*([a-z.-]+\d*)?", value):
            raise mistake("is not a version", "write a release such as 0.32.0, without a leading v")
        return value

    @field_validator("host")
    @classmethod
    def _host_is_address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise mistake(
                "is not an IP address", "write 127.0.0.1, or an address of the host in a private network"
            ) from None
