"""What Ollama's store must hold for the declared models, and how each entry is brought there. Pure."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inferfleet.placed import PlacedModel
from inferfleet.spec import tagged


@dataclass(frozen=True)
class Entry:
    """One name in the store.

    Attributes:
        name: the full name, with its tag.
        how: `pull` from a registry, `create` from another entry, `file` from a GGUF.
        origin: registry name, name of the other entry, or `file:` or `http(s)://` address.
        mirror: `http(s)://host[:port]` to pull from instead; None for the name's own registry.
        pin: `sha256:...` that the manifest or the weights must have.
        sha256: digest of the GGUF.
        settings: `parameters`, `template` and `system`, where given.
    """

    name: str
    how: Literal["pull", "create", "file"]
    origin: str
    mirror: str | None
    pin: str | None
    sha256: str | None
    settings: dict[str, Any]

    @property
    def recipe(self) -> str:
        """A digest of how the entry is made; another recipe makes another entry. A mirror does not change it."""
        made = {key: value for key, value in asdict(self).items() if key not in ("mirror", "pin")}
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_plain(self) -> bool:
        """Whether any model of that name will do: pulled under its own name, nothing added."""
        return self.how == "pull" and tagged(self.origin) == self.name


def entries(models: Iterable[PlacedModel], registry: str | None) -> tuple[Entry, ...]:
    """What the store must hold, each entry after the one it is made from."""
    found: dict[str, Entry] = {}
    for model in models:
        for entry in _entries_of(model, registry):
            known = found.get(entry.name)
            # A model that others are made from may be declared itself, with a pin: that one says more.
            if known is None or (known.pin is None and entry.pin is not None):
                found[entry.name] = entry
    return tuple(found.values())


def _entries_of(model: PlacedModel, registry: str | None) -> list[Entry]:
    name, spec = tagged(model.name), model.spec
    given = {"parameters": dict(spec.parameters), "template": spec.template, "system": spec.system}
    settings = {key: value for key, value in given.items() if value}
    origin = spec.source or model.name
    if spec.is_file:
        return [Entry(name, "file", origin, None, None, spec.sha256, settings)]
    origin = tagged(origin)
    # A name of three parts says its registry itself, such as hf.co/user/model:q4.
    mirror = registry if origin.count("/") < 2 else None
    if not settings:
        return [Entry(name, "pull", origin, mirror, spec.pin, None, {})]
    base = Entry(origin, "pull", origin, mirror, spec.pin, None, {})
    return [base, Entry(name, "create", origin, None, None, None, settings)]
