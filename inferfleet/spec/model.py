"""Models: what the fleet serves, where each comes from, how it is recognised."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from inferfleet.spec.base import Listed, Noun, mistake
from inferfleet.spec.parameters import checked

# Ollama 0.32, types/model/name.go: [[host[:port]/]namespace/]model[:tag]; a host is known by having three parts.
_PART = r"[A-Za-z0-9][\w.-]*"
NAME = re.compile(rf"(({_PART}(:\d+)?/)?{_PART}/)?{_PART}(:[\w.-]+)?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"[^\s/]+(/[^\s/]+)?")
Placement = Literal["balance", "pack", "spread"]


def tagged(name: str) -> str:
    """A model's full name: Ollama reads `llama2` as `llama2:latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Model(Noun):
    """One model of the fleet.

    `source` says where it comes from: another name in the Ollama registry (`llama2:13b`), a GGUF file that lies
    on the hosts (`file:/srv/models/x.gguf`), or a GGUF at an `http(s)://` address; the last two need `sha256`.
    """

    engine: Literal["ollama", "vllm", "sglang", "tgi", "lmdeploy"] = Field(
        description="The engine that serves it. This version sets up Ollama; the others are planned."
    )
    source: str | None = Field(
        None,
        description="Registry name, `file:/path.gguf`, `https://.../x.gguf` or `hf:owner/name`; by default the name.",
        min_length=1,
    )
    sha256: str | None = Field(None, description="SHA-256 of the GGUF file.")
    pin: str | None = Field(
        None, description="`sha256:...` of the registry manifest or of the weights; another model is refused."
    )
    replicas: int | Literal["all", "fitting"] = Field(
        "all",
        description="How many instances serve it, or `all`. `fitting` stands for every one that it fits on.",
    )
    placement: Placement = Field(
        "balance",
        description="Hosts are filled in the inventory's order. On a host it goes to the emptiest card (`balance`) or "
        "the fullest that it still fits on (`pack`); `spread` balances with each replica on a host of its own.",
    )
    on: Annotated[tuple[str, ...], Listed] = Field(
        (),
        description="Where alone it may run: hosts (`gpu1`), their cards (`gpu1/2`) or instances (`gpu1/ollama-cpu0`).",
    )
    load: int | None = Field(
        None,
        description="Requests at once that it must carry; the plan says whether it still does when one host is lost.",
        ge=1,
    )
    shape: str | dict[str, Any] | None = Field(
        None,
        description="What its memory is calculated from, where it is not well known: a file on this machine (GGUF, "
        "Hugging Face directory or `config.json`), or its numbers.",
    )
    format: str | None = Field(
        None, description="Format of its weights, such as `q4_K_M` or `awq`; by default what its name or its file says."
    )
    context: int | None = Field(
        None,
        description="Context length in tokens of each request; by default the engine's. Not for Ollama.",
        ge=256,
        le=10_485_760,
    )
    parallel: int | None = Field(
        None,
        description="Requests that one replica answers at once; by default the engine's. Not for Ollama.",
        ge=1,
        le=65536,
    )
    tensor_parallel: int = Field(
        1, description="Cards of a host over which each layer is split. Not for Ollama.", ge=1, le=64
    )
    pipeline_parallel: int = Field(
        1,
        description="Groups of such cards, on one host or on several, that take the layers in turn. Not for Ollama.",
        ge=1,
        le=64,
    )
    vram_gib: float | None = Field(
        None,
        description="What one copy takes of its cards in GiB, where you have measured it; nothing is calculated then.",
        gt=0,
        le=65536,
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Ollama parameters, such as `temperature` or `stop` (a list)."
    )
    template: str | None = Field(None, description="Prompt template in Ollama's form.", min_length=1)
    system: str | None = Field(None, description="System prompt.", min_length=1)
    aliases: Annotated[tuple[str, ...], Listed] = Field(
        (), description="Further names under which its engine serves it, such as `gpt-4o-mini`."
    )
    expect: dict[str, str] = Field(
        default_factory=dict,
        description="Prompts and the exact answers that verify must get at temperature 0.",
    )

    @field_validator("source")
    @classmethod
    def _source_form(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if value.startswith("file:"):
            if not re.fullmatch(r"file:/[^\s\0]+", value):
                raise mistake("is not an absolute path", "write file:/path/on/the/host/x.gguf")
        elif value.startswith("hf:"):
            if not re.fullmatch(r"hf:[\w.-]+/[\w.-]+", value):
                raise mistake("is no model of Hugging Face", "write hf:owner/name, as in hf:Qwen/Qwen2.5-7B-Instruct")
        elif not NAME.fullmatch(value) and not re.fullmatch(r"https?://[^\s/]+/\S+", value):
            raise mistake("is no source", "write a registry name, file:/path.gguf or https://host/x.gguf")
        return value

    @field_validator("sha256", "pin")
    @classmethod
    def _digest_form(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return value
        digits = value.removeprefix("sha256:") if info.field_name == "pin" else value
        if not _SHA256.fullmatch(digits) or (info.field_name == "pin" and digits == value):
            form = "sha256: and 64" if info.field_name == "pin" else "64"
            raise mistake("is not a SHA-256", f"write {form} lower-case hexadecimal digits")
        return value

    @field_validator("replicas")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise mistake("is not a number of replicas", 'write 1 or more, or "all"; remove the model to have none')
        return value

    @field_validator("on")
    @classmethod
    def _places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in value:
            if not _PLACE.fullmatch(place):
                raise mistake(f"{place!r} is no place", 'write a host or one of its cards, as in ["gpu1", "gpu2/0"]')
        return value

    @field_validator("aliases")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for alias in value:
            if not NAME.fullmatch(alias):
                raise mistake(f"{alias!r} is not a model's name", "write it as clients will, as in gpt-4o-mini")
        return value

    @field_validator("parameters")
    @classmethod
    def _known_parameters(cls, value: dict[str, Any]) -> dict[str, Any]:
        return checked(value)

    @property
    def is_file(self) -> bool:
        """Whether it is made from a GGUF file rather than pulled from a registry."""
        return self.source is not None and self.source.startswith(("file:", "http://", "https://"))

    @property
    def source_name(self) -> str | None:
        """The full name of another model that it is made from; None for a file and where no source is given."""
        return tagged(self.source) if self.source and not self.is_file else None

    @property
    def is_customised(self) -> bool:
        """Whether it has settings of its own, so that it is made by `create` and not pulled as it is."""
        return bool(self.parameters or self.template or self.system)

    @property
    def copies(self) -> int | Literal["all", "fitting"]:
        """`replicas`; an engine that is started for each replica has one where none is asked for."""
        asked = self.engine == "ollama" or "replicas" in self.model_fields_set
        return self.replicas if asked else 1

    @model_validator(mode="after")
    def _for_its_engine(self) -> "Model":
        servers = ("context", "parallel", "tensor_parallel", "pipeline_parallel")
        ollamas = ("parameters", "template", "system")
        others, todo = (
            (
                servers,
                "Ollama takes context and parallel from engines.ollama, and splits models by itself: leave it out",
            )
            if self.engine == "ollama"
            else (ollamas, "leave it out, or serve the model with Ollama")
        )
        if wrong := [name for name in others if name in self.model_fields_set]:
            raise mistake(f"{wrong[0]} is not for {self.engine}", todo)
        if self.engine == "ollama" and (self.source or "").startswith("hf:"):
            raise mistake("hf: is not for ollama", "write hf.co/owner/name for a repository of GGUF files")
        return self

    @model_validator(mode="after")
    def _sized_once(self) -> "Model":
        if self.vram_gib is not None and (self.shape is not None or self.format is not None):
            raise mistake("vram_gib says all of its memory", "leave `shape` and `format` out, or vram_gib")
        return self

    @model_validator(mode="after")
    def _source_and_digest(self) -> "Model":
        if self.is_file and self.sha256 is None:
            raise mistake("a file or URL needs its SHA-256", "add sha256, as `sha256sum FILE` prints")
        if not self.is_file and self.sha256 is not None:
            raise mistake("sha256 is for a file or URL", "use pin for a model from a registry")
        if self.is_file and self.pin is not None:
            raise mistake("pin is for a model from a registry", "a file is pinned by its sha256")
        return self
