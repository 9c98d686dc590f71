"""What Ollama's store must hold for the declared models, and how each entry is brought there. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
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
    """What the store must hold, each entry after the one it is made from.

    A model whose source is itself declared as made here (from a file, or with settings) is made from that one.
    """
    declared = {tagged(model.name): model for model in models}
    found: dict[str, Entry] = {}
    for model in declared.values():
        _add(model, declared, registry, found)
    return tuple(found.values())


def _add(
    model: PlacedModel, declared: Mapping[str, PlacedModel], registry: str | None, found: dict[str, Entry]
) -> None:
    name, spec = tagged(model.name), model.spec
    if name in found:
        return
    given = {"parameters": dict(spec.parameters), "template": spec.template, "system": spec.system}
    settings = {key: value for key, value in given.items() if value}
    if spec.is_file:
        found[name] = Entry(name, "file", spec.source or "", None, None, spec.sha256, settings)
        return
    origin = spec.source_name or name
    of_ours = declared.get(origin)
    made_here = origin != name and of_ours is not None and (of_ours.spec.is_file or of_ours.spec.is_customised)
    if not settings and not made_here:
        found[name] = _pulled(name, origin, registry, spec.pin)
        return
    if of_ours is not None:
        _add(of_ours, declared, registry, found)
    base = found.setdefault(origin, _pulled(origin, origin, registry, spec.pin))
    if spec.pin and not base.pin and base.how == "pull":
        found[origin] = replace(base, pin=spec.pin)
    found[name] = Entry(name, "create", origin, None, spec.pin if made_here else None, None, settings)


def _pulled(name: str, origin: str, registry: str | None, pin: str | None) -> Entry:
    # A name of three parts says its registry itself, such as hf.co/user/model:q4.
    return Entry(name, "pull", origin, registry if origin.count("/") < 2 else None, pin, None, {})
