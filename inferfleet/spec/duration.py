"""Durations that bound something: `30s`, `10m`; unlike an engine's, never without end."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from inferfleet.spec.base import mistake

_FORM = re.compile(r"(\d+)(ms|s|m|h)")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DAY_MS = 24 * _MS["h"]


def _limit(value: Any) -> Any:
    """A whole number of seconds, or a number with its unit; in the end always a text."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value}s"
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1][:12]) * _MS[match[2]] <= _DAY_MS:
        raise mistake("is not a limit of time", 'write a whole number of seconds, or "500ms", "30s" or "10m"')
    return value


Limit = Annotated[str, BeforeValidator(_limit)]


def milliseconds(limit: str) -> int:
    """A parsed limit in milliseconds."""
    match = _FORM.fullmatch(limit)
    return int(match[1]) * _MS[match[2]] if match else 0
