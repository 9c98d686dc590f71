"""Aliases of models: copies under further names, which take no memory since they share the weights."""

from collections.abc import Iterator

from inferfleet.placed import PlacedModel
from inferfleet.spec import Model


def with_aliases(model: PlacedModel) -> Iterator[PlacedModel]:
    """A model and, after it, its copies: made from it where it is made on the host, else from what it is made from."""
    yield model
    spec = model.spec
    is_made = spec.is_file or spec.is_customised
    source, pin = (model.name, None) if is_made else (spec.source or model.name, spec.pin)
    for alias in spec.aliases:
        yield PlacedModel(alias, Model(engine=spec.engine, source=source, pin=pin))
