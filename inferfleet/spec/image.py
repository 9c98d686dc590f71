"""The name of a container image, in Docker's grammar."""

import re
from dataclasses import dataclass, replace

HUB = "docker.io"
FORM = "write repository[:tag][@sha256:...], as in ollama/ollama:0.32.15"

# distribution/reference 0.6, reference.go.
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?)+(?::\d{1,5})?", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def what_to_write(text: str) -> str:
    """What to do about a text that is not the name of an image."""
    _, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return "a digest is @sha256: and 64 lower-case hexadecimal digits, as `docker image inspect` prints it"
    return FORM


@dataclass(frozen=True)
class Reference:
    """The name of an image.

    Attributes:
        registry: `host[:port]`, Docker's own where none is written.
        repository: `ollama/ollama`; Docker's own registry has `library/` before a single word.
        tag: `0.32.15`; None where none is written.
        digest: `sha256:...` of what the name must lead to.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The parts of `[registry/]repository[:tag][@sha256:...]`.

        Raises:
            ValueError: it is not the name of an image; says what to write.
        """
        name, at, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        # What comes before the first slash is a registry if it cannot be a part of a name on Docker's own.
        is_registry = bool(slash) and (first == "localhost" or re.search(r"[.:A-Z]", first) is not None)
        registry, path = (first, rest) if is_registry else (HUB, name)
        repository, colon, tag = path.partition(":")
        wanted = [(_REGISTRY, registry, True), (_REPOSITORY, repository, True)]
        wanted += [(_TAG, tag, bool(colon)), (_DIGEST, digest, bool(at))]
        if not all(form.fullmatch(part) for form, part, is_there in wanted if is_there):
            raise ValueError(f"is not an image (got {text!r}); {what_to_write(text)}")
        if registry in (HUB, f"index.{HUB}"):
            registry, repository = HUB, repository if "/" in repository else f"library/{repository}"
        return cls(registry, repository, tag or None, digest or None)

    @property
    def name(self) -> str:
        """Registry and repository as Docker writes them: what is its own is left out."""
        if self.registry != HUB:
            return f"{self.registry}/{self.repository}"
        return self.repository.removeprefix("library/")

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.name}{tag}" + ("" if self.digest is None else f"@{self.digest}")

    def pulled_from(self, mirror: str) -> "Reference":
        """The same at a mirror, a registry with the address `http(s)://host[:port]`."""
        return replace(self, registry=re.sub("^https?://", "", mirror).rstrip("/"))
