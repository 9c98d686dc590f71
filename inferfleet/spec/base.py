"""What every noun of the spec shares: frozen, strict, no unknown keys."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def mistake(wrong: str, todo: str) -> PydanticCustomError:
    """An error whose text is already in the house's form: what is wrong, and what to do."""
    return PydanticCustomError("inferfleet", "{wrong}; {todo}", {"wrong": wrong, "todo": todo})


class Noun(BaseModel):
    """Base of every noun: immutable, strict types (a boolean is never guessed from `off` or 1)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def _as_tuple(value: Any) -> Any:
    """Inventories hold lists; frozen objects hold tuples."""
    return tuple(value) if isinstance(value, list) else value


Listed = BeforeValidator(_as_tuple)

# Services have no right to the ports below.
Port = Annotated[int, Field(ge=1024, le=65535)]
