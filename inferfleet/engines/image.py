"""Images of containers: what is pulled for a name, and what `docker run` is told. Pure."""

from dataclasses import dataclass, replace
from typing import Any

from inferfleet.spec.image import Reference


@dataclass(frozen=True)
class Image:
    """An image that a host must have.

    Attributes:
        reference: as it is declared.
        archive: a path on the host or a URL, where it is loaded rather than pulled; `reference.digest` is then the
            image's ID, as `docker image inspect` says it after a `docker load`.
        mirror: a registry from which it is pulled instead of its own.
    """

    reference: Reference
    archive: str | None = None
    mirror: str | None = None

    @classmethod
    def declared(cls, reference: str, archive: str | None = None, mirror: str | None = None) -> "Image":
        """The image of that name.

        Raises:
            ValueError: it is not the name of an image; says what to write.
        """
        return cls(Reference.parse(reference), archive, mirror)

    @property
    def name(self) -> str:
        """What it is, wherever it comes from."""
        return str(self.reference)

    @property
    def digest(self) -> str | None:
        """What it must be; None where nothing is declared."""
        return self.reference.digest

    @property
    def pulled(self) -> Reference:
        """What a registry is asked for: by its digest where one is declared."""
        found = self.reference.pulled_from(self.mirror) if self.mirror else self.reference
        return replace(found, tag=None) if found.digest else replace(found, tag=found.tag or "latest")

    @property
    def runs(self) -> str:
        """What `docker run` is told: by digest where one is declared. An image that was loaded has an ID alone."""
        if self.archive is None:
            return str(self.pulled)
        return self.digest or str(replace(self.reference, tag=self.reference.tag or "latest"))

    @property
    def question(self) -> dict[str, Any]:
        """What a host is asked about it (`remote/images_state.py`)."""
        return {"runs": self.runs}

    @property
    def order(self) -> dict[str, Any]:
        """What a host is told to bring (`remote/docker_images.py`)."""
        return {
            "name": self.name,
            "runs": self.runs,
            "from": self.pulled.name,
            "version": self.pulled.digest or self.pulled.tag,
            "archive": self.archive,
            "digest": self.digest,
        }
