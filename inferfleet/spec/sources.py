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

    images: str | None = Field(
        None,
        description="Registry from which container images are pulled instead of their own, `http(s)://host[:port]`.",
    )
    docker: str = Field(
        "https://download.docker.com/linux", description="Docker's packages: `<source>/<distribution>`, its key `gpg`."
    )
    docker_fingerprint: str = Field(
        "9DC858229FC7DD38854AE2D88D81803C0EBFCD88", description="Fingerprint of the key that signs Docker's packages."
    )
    nvidia_toolkit: str = Field(
        "https://nvidia.github.io/libnvidia-container",
        description="NVIDIA Container Toolkit's packages: `<source>/stable/deb/<architecture>`, its key `gpgkey`.",
    )
    nvidia_toolkit_fingerprint: str = Field(
        "C95B321B61E88C1809C4F759DDCAE044F796ECB0", description="Fingerprint of the key that signs the toolkit."
    )
    nvidia_driver: str = Field(
        "https://developer.download.nvidia.com/compute/cuda/repos",
        description="NVIDIA's driver packages: `<source>/<distribution and release>/<architecture>`.",
    )
    nvidia_driver_fingerprint: str | None = Field(
        None, description="Fingerprint of the key that signs the driver; by default NVIDIA's for the distribution."
    )

    @field_validator("ollama", "docker", "nvidia_toolkit", "nvidia_driver")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
            raise mistake("is not a URL", "write http(s)://host/path")
        return value.rstrip("/")

    @field_validator("docker_fingerprint", "nvidia_toolkit_fingerprint", "nvidia_driver_fingerprint")
    @classmethod
    def _fingerprint(cls, value: str | None) -> str | None:
        digits = (value or "").replace(" ", "").upper()
        if value is not None and not re.fullmatch(r"[0-9A-F]{40}", digits):
            raise mistake("is not a key's fingerprint", "write its 40 hexadecimal digits, as `gpg --show-keys` prints")
        return digits or None

    @field_validator("images")
    @classmethod
    def _image_registry(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", value):
            raise mistake("is not a registry's address", "write http(s)://host[:port], without a path")
        return value.rstrip("/") if value else value

    @field_validator("models")
    @classmethod
    def _registry(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", value):
            raise mistake(
                "is not a registry's address", "write http(s)://host[:port]; Ollama cannot use a path below a host"
            )
        return value.rstrip("/") if value else value
