"""Data of an inventory into a noun, its mistakes as lines."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from inferfleet.spec import wording

N = TypeVar("N", bound=BaseModel)


def parse(noun: type[N], data: Any, where: str, mistakes: list[str]) -> N:
    """The noun; one without contents where the data has mistakes, which are then added as lines."""
    try:
        return noun.model_validate(data)
    except ValidationError as error:
        mistakes.extend(wording.lines(error, where, data, noun))
        return noun.model_construct()
