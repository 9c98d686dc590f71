"""The declared images are there, and those that we once brought and nobody uses are gone."""

from collections.abc import Sequence
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines.image import Image


def images(declared: Sequence[Image], state: dict[str, Any]) -> Changes:
    """Every declared image is there. An image's content is its digest, so what is there under it is right.

    Args:
        declared: images; the same one may be there several times.
        state: the answer of `remote/images_state.py`; `{}` where nobody could be asked, `silent` where Docker does not
            answer.
    """
    bring = {image.runs: image for image in declared if reason(image, state)}
    effects = [
        Effect("load" if image.archive else "fetch", f"image {image.name}", reason(image, state))
        for image in bring.values()
    ]
    return Changes(tuple(effects), {"bring": [image.order for image in bring.values()], "remove": []})


def unused_images(declared: Sequence[Image], state: dict[str, Any]) -> Changes:
    """What we brought, is declared no longer and no container uses is gone; all other images stay.

    To be asked when the containers run as declared: those of ours are taken to use what is declared and nothing else.
    """
    found = state.get("found", {})
    keep = {image.runs for image in declared}
    used = {found[name]["id"] for name in keep if found.get(name)} | set(state.get("used", []))
    gone = {name: known for name, known in state.get("ours", {}).items() if name not in keep and known not in used}
    effects = [
        Effect("remove", f"image {_called(known, gone)}", "we brought it, and nothing uses it any longer")
        for known in sorted(set(gone.values()))
    ]
    return Changes(tuple(effects), {"bring": [], "remove": list(gone)})


def _called(known: str, gone: dict[str, str]) -> str:
    """The names of an image that go, or its ID where that is its only one."""
    return ", ".join(name for name, image in gone.items() if image == known and name != known) or known


def reason(image: Image, state: dict[str, Any]) -> str:
    """Why an image must be brought; empty where it is there."""
    found = (state.get("found") or {}).get(image.runs)
    if found is None:
        unsure = ", as far as can be told while Docker does not answer" if state.get("silent") else ""
        return f"is not there{unsure}; it comes from {image.archive or image.mirror or image.reference.registry}"
    if image.digest and image.digest not in (found["id"], *found["digests"]):
        return f"is {found['id'][:19]}, pinned to {image.digest[:19]}"
    return ""
