"""placeholder until the image helper's"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    name: str
    runs: str
    question: dict[str, object]

    @classmethod
    def declared(cls, reference: str, archive: str | None, mirror: str | None) -> "Image":
        return cls(reference, reference, {})
