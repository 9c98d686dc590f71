"""References to secrets: an inventory says where a secret is, and never the secret itself."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from inferfleet.spec.base import mistake

# A path as a project has it, or an absolute one; what is behind it is read only when files for a host are made.
_FORM = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\s\0]+")


def _reference(value: Any) -> Any:
    if not isinstance(value, str) or not _FORM.fullmatch(value):
        todo = 'write "env:VARIABLE" or "file:secrets/name", never the secret itself'
        raise mistake("is no reference to a secret", todo, hide=True)
    return value


Reference = Annotated[str, BeforeValidator(_reference)]
