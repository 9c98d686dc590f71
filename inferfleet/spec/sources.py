"""Sources: where artefacts come from; a site without internet names its mirrors here."""

import re

from pydantic import Field, field_validator

from inferfleet.spec.base import Noun, mistake


class Sources(Noun):
    """Where each kind of artefact is fetched from, by the hosts themselves."""

    ollama: str = Field(
        "https://github.com/ollama/ollama/releases/download",
        description="Ollama's releases: `<source>/v<version>/ollama-linux-amd64.tar.zst`, `sha256sum.txt` beside it.",
    )
    models: str | None = Field(
        None,
        description="Mirror of the Ollama registry, `http(s)://host[:port]`; by default Ollama's own registry.",
    )

    @field_validator("ollama")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
            raise mistake("is not a URL", "write http(s)://host/path")
        return value.rstrip("/")

    @field_validator("models")
    @classmethod
    def _registry(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", value):
            raise mistake(
                "is not a registry's address", "write http(s)://host[:port]; Ollama cannot use a path below a host"
            )
        return value.rstrip("/") if value else value
