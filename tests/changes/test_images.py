"""Which images are brought, and which go again."""

from typing import Any

from inferfleet.changes import images, unused_images
from inferfleet.engines.image import Image

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ID, OLD = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PINNED = Image.declared(f"ollama/ollama:0.32.15@{DIGEST}", mirror="http://m:5000")
TAGGED = Image.declared("ollama/ollama:0.32.15")
LOADED = Image.declared(f"ollama/ollama:0.32.15@{ID}", archive="/srv/x.tar")


def told(changes: Any) -> list[str]:
    return [str(effect) for effect in changes.effects]


def state(**more: Any) -> dict[str, Any]:
    found = {PINNED.runs: {"id": ID, "digests": [DIGEST]}}
    return {"found": found, "ours": {PINNED.runs: ID}, "used": [], **more}


def test_what_is_missing_is_brought_once() -> None:
    found = images([PINNED, PINNED], {})
    assert told(found) == [f"fetch image ollama/ollama:0.32.15@{DIGEST}: is not there; it comes from http://m:5000"]
    assert found.work["bring"] == [PINNED.order]


def test_what_is_there_is_left() -> None:
    assert images([PINNED], state()).effects == ()
    assert images([TAGGED], {"found": {TAGGED.runs: {"id": ID, "digests": []}}}).effects == ()
    assert images([LOADED], {"found": {LOADED.runs: {"id": ID, "digests": []}}}).effects == ()


def test_what_is_under_a_digest_that_is_not_its_own_is_brought() -> None:
    found = images([PINNED], {"found": {PINNED.runs: {"id": ID, "digests": [OTHER]}}})
    assert [effect.kind for effect in found.effects] == ["fetch"]


def test_an_archive_is_loaded() -> None:
    assert told(images([LOADED], {}))[0].startswith(
        f"load image ollama/ollama:0.32.15@{ID}: is not there; it comes from /srv/x.tar"
    )


def test_only_ours_and_unused_go() -> None:
    old = "m:5000/ollama/ollama@" + OTHER
    ours = {PINNED.runs: ID, old: OLD}
    found = unused_images([PINNED], state(ours=ours))
    assert told(found) == [f"remove image {old}: we brought it, and nothing uses it any longer"]
    assert found.work["remove"] == [old]
    assert unused_images([PINNED], state(ours=ours, used=[OLD])).effects == ()
    assert unused_images([PINNED], state()).effects == ()
    assert unused_images([], {}).effects == ()


def test_an_archives_tag_stays_with_its_image() -> None:
    found = {LOADED.runs: {"id": ID, "digests": []}}
    ours = {"ollama/ollama:0.32.15": ID, ID: ID}
    assert unused_images([LOADED], {"found": found, "ours": ours, "used": []}).effects == ()
    gone = unused_images([], {"found": {}, "ours": ours, "used": []})
    assert told(gone) == ["remove image ollama/ollama:0.32.15: we brought it, and nothing uses it any longer"]
    assert gone.work["remove"] == ["ollama/ollama:0.32.15", ID]
