"""Engines: which program serves, at which version, and its settings."""

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from inferfleet.spec.base import Noun, Port, mistake
from inferfleet.spec.image import Reference, what_to_write
from inferfleet.spec.server import ServerEngine

_DURATION = re.compile(r"(\d+(\.\d+)?(ms|s|m|h))+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What must not be given to the service's user, is on no disk, or (PrivateTmp) is another place for the service.
_SYSTEM_DIRECTORY = re.compile(
    r"/(bin|boot|dev|etc|lib|lib32|lib64|proc|root|run|sbin|sys|tmp)/|/usr/(?!share/ollama(/|$))|/var/(?!lib/.)"
)
# Environment that other settings own, and where to say it instead.
OWNED_ENVIRONMENT = {
    "OLLAMA_HOST": "host and port",
    "OLLAMA_NUM_PARALLEL": "parallel",
    "OLLAMA_MAX_LOADED_MODELS": "max_loaded_models",
    "OLLAMA_MAX_QUEUE": "max_queue",
    "OLLAMA_KEEP_ALIVE": "keep_alive",
    "OLLAMA_CONTEXT_LENGTH": "context",
    "OLLAMA_FLASH_ATTENTION": "flash_attention",
    "OLLAMA_KV_CACHE_TYPE": "kv_cache_type",
    "OLLAMA_LOAD_TIMEOUT": "load_timeout",
    "OLLAMA_MODELS": "models_dir",
    "OLLAMA_SCHED_SPREAD": "nothing: a model is split over all cards of its instance",
    "OLLAMA_NOPRUNE": "nothing: instances share one store",
    "OLLAMA_NO_CLOUD": "nothing: models run here",
    "HOME": "nothing: the service has a home of its own",
    "CUDA_VISIBLE_DEVICES": "gpus",
    "CUDA_DEVICE_ORDER": "gpus",
    "NVIDIA_VISIBLE_DEVICES": "gpus",
    "GGML_VK_VISIBLE_DEVICES": "gpus",
    "ROCR_VISIBLE_DEVICES": "gpus",
    "INFERFLEET_SPEC": "nothing: it marks what the service was started with",
}

# What else moves models or changes what they take: AMD's names for cards, and options of llama-server, which inherits
# Ollama's environment (0.32.15, llm/llama_server.go, SetupLlamaServerCommandEnv; names of b10488, common/arg.cpp).
_UNPLANNED = re.compile(
    r"HIP_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|GGML_CUDA_ENABLE_UNIFIED_MEMORY|LLAMA_ARG_(NO_)?"
    r"(BATCH|UBATCH|CTX_.*|CACHE_.*|CPU_MOE|N_CPU_MOE|DEVICE|FIT.*|FLASH_ATTN|KV_.*|MAIN_GPU|MMPROJ.*|MODEL.*|N_PARALLEL"
    r"|N_GPU_LAYERS|OP_OFFLOAD|OVERRIDE_TENSOR|RPC|SPEC_.*|SPLIT_MODE|SWA_FULL|TENSOR_SPLIT)(_DRAFT)?"
)


def _duration(value: Any) -> Any:
    """`"forever"`, seconds as a number, or Go's form (`5m`, `1h30m`); in the end always a text."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise mistake("is negative", 'write "forever" for no limit, or a duration such as "5m"')
        return f"{value}s"
    if not isinstance(value, str) or not (value == "forever" or _DURATION.fullmatch(value)):
        raise mistake(
            "is not a duration", 'write "forever", a whole number of seconds, or a duration such as "5m" or "1h30m"'
        )
    return value


Runtime = Literal["native", "docker"]
Duration = Annotated[str, BeforeValidator(_duration)]


class OllamaEngine(Noun):
    """Ollama on this fleet (or, by group data, on a part of it).

    Everything whose default would move with the hardware is written out: Ollama 0.32 takes
    its context length from the sum of the cards' memory, and reads any boolean it cannot parse as true.
    """

    version: str = Field(description="Release without `v`, such as `0.32.15`; at least 0.30.0.")
    runtime: Runtime = Field(
        "native", description="How it runs: `native` as a systemd service, or `docker` as a container under one."
    )
    image: str | None = Field(
        None,
        description="Image of its containers, `repository[:tag][@sha256:...]`; by default `ollama/ollama:<version>`.",
    )
    image_archive: str | None = Field(
        None,
        description="Archive (`docker save`) that the image is loaded from, not pulled: a path on the host or "
        "`http(s)://...`. The digest in `image` is then the image's ID.",
    )
    memory: str | None = Field(None, description="Memory that a container may take, such as `16g`.")
    per: Literal["card", "node"] = Field(
        "card",
        description="One instance for each card, or one for the whole node (Ollama then splits models over the cards).",
    )
    host: str = Field("127.0.0.1", description="Address it listens on. Ollama has no authentication: keep it private.")
    port: Port = Field(11434, description="TCP port of a node's first instance; the others follow.")
    parallel: int = Field(1, description="Requests answered at once by each loaded model.", ge=1, le=512)
    max_loaded_models: int = Field(16, description="Models that an instance may hold in memory at once.", ge=1, le=128)
    max_queue: int = Field(512, description="Requests that may wait; beyond it Ollama answers 503.", ge=1)
    keep_alive: Duration = Field(
        "forever", description='How long an idle model stays loaded: `"forever"` or a duration such as `5m`.'
    )
    context: int = Field(4096, description="Context length in tokens of each request.", ge=256, le=10_485_760)
    flash_attention: bool = Field(True, description="Flash attention on or off.")
    kv_cache_type: Literal["f16", "q8_0", "q4_0"] = Field("f16", description="Type of the KV cache.")
    load_timeout: Duration = Field("5m", description="How long loading a model may stall.")
    models_dir: str = Field(
        "/usr/share/ollama/.ollama/models", description="Where models are kept on the host; upstream's own place."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Further environment, such as HTTPS_PROXY. Not for secrets."
    )
    sha256: str | None = Field(
        None, description="SHA-256 of the release tarball; by default the one in the source's `sha256sum.txt`."
    )

    @field_validator("version")
    @classmethod
    def _version_form(cls, value: str) -> str:
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(-rc\d+)?", value)
        if not match:
            raise mistake("is not a version", "write a release such as 0.32.15, without a leading v")
        if (int(match[1]), int(match[2])) < (0, 30):
            raise mistake("is too old", "use 0.30.0 or newer, which brings llama-server beside the binary")
        return value

    @field_validator("image")
    @classmethod
    def _image_form(cls, value: str | None) -> str | None:
        try:
            return value if value is None else str(Reference.parse(value))
        except ValueError as error:
            raise mistake("is not an image", what_to_write(str(value))) from error

    @field_validator("image_archive")
    @classmethod
    def _archive_form(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+/\S+|(/[\w.@+-]+)+", value):
            raise mistake("is neither a path nor a URL", "write /path/on/the/host.tar or http(s)://host/path.tar")
        return value

    @field_validator("memory")
    @classmethod
    def _memory_form(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d*[mg]", value):
            raise mistake("is not a size", "write a whole number and m or g, as in 16g")
        return value

    @field_validator("host")
    @classmethod
    def _host_is_address(cls, value: str) -> str:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise mistake(
                "is not an IP address", "write 127.0.0.1, or an address of the host in a private network"
            ) from None
        if "%" in value:
            raise mistake("is an address of one link", "write an address without %interface")
        return str(address)  # `ss` says it in the short form, too

    @field_validator("models_dir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not re.fullmatch(r"(/[\w.@+-]+){2,}", value) or ".." in value:
            raise mistake("is not an absolute path of at least two parts", "write it as in /srv/ollama/models")
        if _SYSTEM_DIRECTORY.match(value):
            raise mistake(
                "is in a directory of the system",
                "choose one for models alone, as in /srv/ollama/models: everything in it is given to the user ollama",
            )
        return value

    @field_validator("sha256")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is not None and not _SHA256.fullmatch(value):
            raise mistake("is not a SHA-256", "write 64 lower-case hexadecimal digits, as `sha256sum FILE` prints")
        return value

    @field_validator("environment")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise mistake(f"{name!r} is not a variable's name", "use letters, digits and underscores")
            if name in OWNED_ENVIRONMENT:
                raise mistake(f"{name} is set elsewhere", f"use the setting for it ({OWNED_ENVIRONMENT[name]})")
            if _UNPLANNED.fullmatch(name):
                raise mistake(f"{name} changes what models take of which card", "leave it out: that is planned")
            if not text.isprintable():
                raise mistake(f"{name} holds a control character", "write it on one line")
        return value

    @model_validator(mode="after")
    def _cache_needs_flash(self) -> "OllamaEngine":
        if self.kv_cache_type != "f16" and not self.flash_attention:
            raise mistake(
                f"kv_cache_type {self.kv_cache_type} needs flash attention", "set flash_attention: True or use f16"
            )
        return self


class Engines(Noun):
    """The engines a node may run."""

    ollama: OllamaEngine | None = Field(None, description="Ollama's settings.")
    vllm: ServerEngine | None = Field(None, description="vLLM's settings.")
    sglang: ServerEngine | None = Field(None, description="SGLang's settings.")
    tgi: ServerEngine | None = Field(None, description="Text Generation Inference's settings.")
    lmdeploy: ServerEngine | None = Field(None, description="LMDeploy's settings.")
