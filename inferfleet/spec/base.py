"""What every noun of the spec shares: frozen, strict, no unknown keys."""

import ipaddress
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def mistake(wrong: str, todo: str, hide: bool = False) -> PydanticCustomError:
    """An error whose text is already in the house's form: what is wrong, and what to do.

    Args:
        wrong: what is wrong with the value.
        todo: what to do about it.
        hide: the value may be a secret, so the line must not show it.
    """
    return PydanticCustomError("inferfleet", "{wrong}; {todo}", {"wrong": wrong, "todo": todo, "hide": hide})


class Noun(BaseModel):
    """Base of every noun: immutable, strict types (a boolean is never guessed from `off` or 1)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def _as_tuple(value: Any) -> Any:
    """Inventories hold lists; frozen objects hold tuples."""
    return tuple(value) if isinstance(value, list) else value


Listed = BeforeValidator(_as_tuple)

# Services have no right to the ports below.
Port = Annotated[int, Field(ge=1024, le=65535)]


def ip_address(value: str) -> str:
    """An IP address in its short form.

    Raises:
        PydanticCustomError: it is none, or one that holds on one link only.
    """
    try:
        if "%" not in value:
            return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    raise mistake("is not an IP address", "write an address of the host, such as 10.0.0.1")
