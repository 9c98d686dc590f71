"""Models: what the fleet serves, where each comes from, how it is recognised."""

import re
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from inferfleet.spec.base import Noun, mistake
from inferfleet.spec.parameters import checked

# Ollama 0.32, types/model/name.go: [[host[:port]/]namespace/]model[:tag]; a host is known by having three parts.
_PART = r"[A-Za-z0-9][\w.-]*"
NAME = re.compile(rf"(({_PART}(:\d+)?/)?{_PART}/)?{_PART}(:[\w.-]+)?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def tagged(name: str) -> str:
    """A model's full name: Ollama reads `llama2` as `llama2:latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Model(Noun):
    """One model of the fleet.

    `source` says where it comes from: another name in the Ollama registry (`llama2:13b`), a GGUF file that lies
    on the hosts (`file:/srv/models/x.gguf`), or a GGUF at an `http(s)://` address; the last two need `sha256`.
    """

    engine: Literal["ollama"] = Field(description="The engine that serves it.")
    source: str | None = Field(
        None,
        description="Registry name, `file:/path.gguf` or `https://.../x.gguf`; by default the model's own name.",
        min_length=1,
    )
    sha256: str | None = Field(None, description="SHA-256 of the GGUF file.")
    pin: str | None = Field(
        None, description="`sha256:...` of the registry manifest or of the weights; another model is refused."
    )
    replicas: int | Literal["all"] = Field("all", description="How many instances serve it, or `all`.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Ollama parameters, such as `temperature` or `stop` (a list)."
    )
    template: str | None = Field(None, description="Prompt template in Ollama's form.", min_length=1)
    system: str | None = Field(None, description="System prompt.", min_length=1)
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

    @model_validator(mode="after")
    def _source_and_digest(self) -> "Model":
        if self.is_file and self.sha256 is None:
            raise mistake("a file or URL needs its SHA-256", "add sha256, as `sha256sum FILE` prints")
        if not self.is_file and self.sha256 is not None:
            raise mistake("sha256 is for a file or URL", "use pin for a model from a registry")
        if self.is_file and self.pin is not None:
            raise mistake("pin is for a model from a registry", "a file is pinned by its sha256")
        return self
