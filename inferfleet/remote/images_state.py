"""Which images a host has, as Docker says it; a part of the scripts that import from it (`remote.script`)."""

from __future__ import annotations

import json
from typing import Any

from inferfleet.remote.docker_api import Docker, docker_path

# What we pulled or loaded and was not there before: reference -> ID, null until it is there. No other is ever removed.
IMAGES_RECORD = "/var/lib/inferfleet/images.json"
INSTANCE_LABEL = "inferfleet.instance"


def images_record(path: str = IMAGES_RECORD) -> dict[str, str | None]:
    """What we brought; nothing where the record is missing or cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return {str(name): known for name, known in found.items() if known is None or isinstance(known, str)}
    except (OSError, ValueError, AttributeError):
        return {}


def image(docker: Docker, reference: str) -> dict[str, Any] | None:
    """An image's ID and the digests under which registries know it; None where Docker has none of that name."""
    found = docker.found(f"/images/{reference}/json")
    if found is None:
        return None
    return {"id": found["Id"], "digests": [name.partition("@")[2] for name in found.get("RepoDigests") or []]}


def images_state(docker: Docker, ask: list[dict[str, Any]], record: str = IMAGES_RECORD) -> dict[str, Any]:
    """What is there of the images asked for, which images are ours, and which are in use by containers not ours.

    Args:
        docker: to ask.
        ask: `{"runs": reference}` for each image.
        record: where it stands what we brought.

    Returns:
        {"found": {reference: {"id", "digests"} or None}, "ours": {reference: ID}, "used": [ID]}; `ours` has what is
        recorded and still the image that we brought.
    """
    known = images_record(record)
    now = {name: image(docker, name) for name in sorted({one["runs"] for one in ask} | set(known))}
    ids = {name: found["id"] for name, found in now.items() if found}
    ours = {name: ids[name] for name, was in known.items() if name in ids and was in (None, ids[name])}
    containers = docker.ask(docker_path("/containers/json", all="1"))
    used = {one["ImageID"] for one in containers if INSTANCE_LABEL not in (one.get("Labels") or {})}
    return {"found": {one["runs"]: now[one["runs"]] for one in ask}, "ours": ours, "used": sorted(used)}
