"""Bringing models: what is asked of Ollama, what is written down, and how each failure ends in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import ollama_api, ollama_models, ollama_state
from tests.remote.conftest import Answer, Run, Site, chunks_cut_short
from tests.remote.orders import an_order, brings, recorded, to_do
from tests.remote.store import Store, digest_of


def test_pull(ollama: Site, store: Store) -> None:
    brings(ollama, store)
    work = to_do(ollama, store, an_order())
    ollama_models.main(work)
    assert ollama.asked[0] == ("POST", "/api/pull", {"model": "tiny:latest", "insecure": False})
    manifest = digest_of(store.manifest("tiny:latest").read_bytes())
    record = recorded(work)
    assert record["models"] == {"tiny:latest": {"recipe": "r1", "manifest": manifest, "ours": True}}
    assert len(record["blobs"]) == 3


MIRRORED = [
    ("http://m.example:5000", "tiny:latest", "m.example:5000/library/tiny:latest", True),
    ("https://m.example", "team/chat:v1", "m.example/team/chat:v1", False),
]


@pytest.mark.parametrize(("mirror", "name", "source", "insecure"), MIRRORED)
def test_pull_from_a_mirror(ollama: Site, store: Store, mirror: str, name: str, source: str, insecure: bool) -> None:
    ollama_models.pull(str(store.path), ollama.address, an_order(name, mirror=mirror))
    assert ollama.asked == [
        ("POST", "/api/pull", {"model": source, "insecure": insecure}),
        ("POST", "/api/copy", {"source": source, "destination": name}),
        ("DELETE", "/api/delete", {"model": source}),
    ]


def test_a_mirrors_name_that_is_there_is_a_users(ollama: Site, store: Store) -> None:
    store.add("tiny:latest", registry="m.example", namespace="library")
    ollama_models.pull(str(store.path), ollama.address, an_order(mirror="https://m.example"))
    assert ollama.paths() == ["POST /api/pull", "POST /api/copy"]


def test_a_mirrors_name_is_recorded_while_it_is_there(ollama: Site, store: Store) -> None:
    """A run that is killed between pull and delete leaves it; the next one then removes what is ours and undeclared."""
    ollama.routes["POST /api/copy"] = 500
    work = to_do(ollama, store, an_order(mirror="https://m.example"))
    with pytest.raises(ollama_models.Failed):
        ollama_models.main(work)
    assert recorded(work)["models"]["m.example/library/tiny:latest"]["ours"]
    ollama.routes["POST /api/copy"] = 200
    brings(ollama, store)
    ollama_models.main(work)
    assert list(recorded(work)["models"]) == ["tiny:latest"]


def test_pull_under_another_name(ollama: Site, store: Store) -> None:
    """What it is made from is the user's own and stays."""
    ollama_models.pull(str(store.path), ollama.address, an_order("chat:latest", origin="llama2:7b"))
    assert ollama.paths() == ["POST /api/pull", "POST /api/copy"]


STREAMS: dict[str, tuple[Answer, str]] = {
    "an error": (b'{"status": "pulling"}\n{"error": "pull model manifest: file does not exist"}\n', "does not exist"),
    "no end": (b'{"status": "pulling manifest"}\n', "ended with 'pulling manifest' instead of success"),
    "nothing": (b"", "ended with '' instead of success"),
    "no JSON": (b"<html>\n", "broke off while starting"),
    "broken off": (chunks_cut_short(b'{"status": "verifying"}\n'), "broke off while verifying"),
    "refused": (400, "/api/pull 400"),
}


@pytest.mark.parametrize(("answer", "says"), STREAMS.values(), ids=STREAMS)
def test_only_success_counts(ollama: Site, store: Store, answer: Answer, says: str) -> None:
    """The status is 200 whatever happens afterwards."""
    ollama.routes["POST /api/pull"] = answer
    with pytest.raises(ollama_models.Failed) as raised:
        ollama_models.main(to_do(ollama, store, an_order()))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_ollamas_own_words(ollama: Site, store: Store) -> None:
    def refuses(handler: Any) -> None:
        handler.send_response(400)
        handler.end_headers()
        handler.wfile.write(b'{"error": "invalid model name"}')

    ollama.routes["POST /api/pull"] = refuses
    with pytest.raises(ollama_models.Failed, match=r"^/api/pull 400: invalid model name$"):
        ollama_models.main(to_do(ollama, store, an_order()))


def test_a_failure_is_one_line(run: Run, ollama: Site, store: Store) -> None:
    ollama.routes["POST /api/pull"] = STREAMS["broken off"][0]
    done = run("ollama_models", to_do(ollama, store, an_order()))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ollama models: tiny:latest: broke off while verifying")


def test_killed_while_it_brings(ollama: Site, store: Store) -> None:
    """What was begun is recorded before: it is ours, and not known to be made as declared."""
    ollama.routes["POST /api/pull"] = 500
    work = to_do(ollama, store, an_order(), an_order("old:latest"), an_order("theirs:latest", ours=False))
    old = {"recipe": "r0", "manifest": "m", "ours": True}
    ollama_models.write_record(work["record"], {"models": {"old:latest": old}, "blobs": {}})
    with pytest.raises(ollama_models.Failed):
        ollama_models.main(work)
    assert recorded(work)["models"] == {
        "tiny:latest": {"recipe": None, "manifest": None, "ours": True},
        "old:latest": {"recipe": None, "manifest": "m", "ours": True},
    }


@pytest.mark.parametrize("pinned_to", ["manifest", "weights"])
def test_a_pin_that_is_met(ollama: Site, store: Store, pinned_to: str) -> None:
    manifest = store.add("tiny:latest")
    pin = manifest if pinned_to == "manifest" else digest_of(b"weights")
    ollama_models.main(to_do(ollama, store, an_order(pin=pin)))
    assert "DELETE /api/delete" not in ollama.paths()


def test_a_pin_that_is_not_met(ollama: Site, store: Store) -> None:
    brings(ollama, store)
    pin = digest_of(b"other")
    with pytest.raises(ollama_models.Failed, match=f"pinned to {pin}; it was removed again"):
        ollama_models.main(to_do(ollama, store, an_order(pin=pin)))
    assert ollama.asked[-1] == ("DELETE", "/api/delete", {"model": "tiny:latest"})


def test_a_pin_that_was_never_met_takes_nothing_away(ollama: Site, store: Store) -> None:
    """A mistyped pin must not take from the users what they have."""
    store.add("tiny:latest")
    with pytest.raises(ollama_models.Failed, match="it was left as it was"):
        ollama_models.main(to_do(ollama, store, an_order(pin=digest_of(b"other"))))
    assert "DELETE /api/delete" not in ollama.paths()


def test_replaced_weights_go(ollama: Site, store: Store) -> None:
    """With OLLAMA_NOPRUNE Ollama itself keeps them; what another model needs, and what we never knew, stays."""
    store.add("tiny:latest")
    work = to_do(ollama, store, an_order())
    ollama_models.main(work)
    (store.path / "blobs" / "sha256-stranger").write_bytes(b"x")
    brings(ollama, store, weights=b"newer")
    ollama_models.main(work)
    assert not store.blob(digest_of(b"weights")).exists()
    assert store.blob(digest_of(b"newer")).exists() and store.blob(digest_of(b"{{ .Prompt }}")).exists()
    assert (store.path / "blobs" / "sha256-stranger").exists()


def test_weights_that_another_model_needs_stay(ollama: Site, store: Store) -> None:
    store.add("tiny:latest")
    store.add("theirs:latest")
    work = to_do(ollama, store, an_order())
    ollama_models.main(work)
    brings(ollama, store, weights=b"newer")
    ollama_models.main(work)
    assert store.blob(digest_of(b"weights")).exists()


def test_what_was_hashed_a_moment_ago_is_not_hashed_again(
    ollama: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("tiny:latest")
    new = ollama_state.models(str(store.path), {}, ["tiny:latest"])["tiny:latest"]["new"]
    monkeypatch.setattr(ollama_models, "sha256_of", lambda _: pytest.fail("400 GB are read twice"))
    ollama_models.main(work := to_do(ollama, store, known=["tiny:latest"], checked=new))
    assert recorded(work)["blobs"] == new


def test_models_that_drive_each_other_out(ollama: Site, store: Store) -> None:
    """Else every run loads one and drives out the other, and says that all is well."""
    store.add("a:latest", b"A")
    store.add("b:latest", b"B")
    store.add("c:latest", b"B")
    ollama.routes["GET /api/ps"] = {"models": [{"name": "b:latest"}]}
    stay = {"ollama-gpu0": ["a:latest", "b:latest", "c:latest"]}
    with pytest.raises(ollama_models.Failed, match=r"^a:latest left the memory of ollama-gpu0 .* do not fit together"):
        ollama_models.main(to_do(ollama, store, load={"ollama-gpu0": ["b:latest"]}, stay=stay))
    ollama.routes["GET /api/ps"] = {"models": [{"name": "b:latest"}, {"name": "a:latest"}]}
    ollama_models.main(to_do(ollama, store, load={"ollama-gpu0": ["b:latest"]}, stay=stay))


@pytest.mark.parametrize("path", ["POST /api/pull", "POST /api/generate"])
def test_a_long_silence_is_no_failure(ollama: Site, store: Store, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Ollama hashes or loads 400 GB without a word, and a client that goes away ends the load."""
    store.add("tiny:latest")
    waits: list[float] = []
    opened = ollama_api._DIRECT.open
    monkeypatch.setattr(
        ollama_api._DIRECT, "open", lambda request, timeout: waits.append(timeout) or opened(request, timeout=timeout)
    )
    ollama_models.main(to_do(ollama, store, an_order(), load={"ollama-gpu0": ["tiny:latest"]}))
    assert waits[ollama.paths().index(path)] >= 3600


def test_create_from_another(ollama: Site, store: Store) -> None:
    brings(ollama, store, "chat:latest")
    order = an_order("chat:latest", how="create", origin="base:latest", settings={"parameters": {"stop": ["#"]}})
    ollama_models.main(to_do(ollama, store, order))
    body = {"model": "chat:latest", "from": "base:latest", "parameters": {"stop": ["#"]}}
    assert ollama.asked[0] == ("POST", "/api/create", body)


def test_old_weights_are_let_go(ollama: Site, store: Store) -> None:
    """Ollama would answer with the old ones for as long as they are in memory."""
    brings(ollama, store)
    ollama.routes["GET /api/ps"] = {"models": [{"name": "tiny:latest"}, {"name": "other:latest"}]}
    ollama_models.main(to_do(ollama, store, an_order()))
    unloads = [body for _, path, body in ollama.asked if path == "/api/generate"]
    assert unloads == [{"model": "tiny:latest", "keep_alive": 0, "stream": False}]


def test_broken_blobs_are_removed_first(ollama: Site, store: Store) -> None:
    """Ollama takes a blob of the right name for whole, so a corrupt one would never be fetched again."""
    store.add("tiny:latest")
    weights = digest_of(b"weights")
    store.blob(weights).write_bytes(b"corrupt")
    brings(ollama, store)
    there: list[bool] = []
    arrives = ollama.routes["POST /api/pull"]
    assert isinstance(arrives, Callable)  # type: ignore[arg-type]
    ollama.routes["POST /api/pull"] = lambda handler: (there.append(store.blob(weights).exists()), arrives(handler))[1]
    ollama_models.main(to_do(ollama, store, an_order(), broken=[weights]))
    assert there == [False]


def test_a_blob_that_arrives_corrupt(ollama: Site, store: Store) -> None:
    store.add("tiny:latest")
    store.blob(digest_of(b"weights")).write_bytes(b"Weights")
    work = to_do(ollama, store, known=["tiny:latest"])
    with pytest.raises(ollama_models.Failed, match=r"is corrupt after it was fetched; is the disk sound\?$"):
        ollama_models.main(work)
    assert recorded(work)["blobs"] == {}


def test_remove_and_forget(ollama: Site, store: Store) -> None:
    work = to_do(ollama, store, remove=["old:latest"], forget=["away:latest"])
    mine = {"recipe": "x", "manifest": "y", "ours": True}
    ollama_models.write_record(
        work["record"], {"models": dict.fromkeys(("old:latest", "away:latest"), mine), "blobs": {}}
    )
    ollama_models.main(work)
    assert ("DELETE", "/api/delete", {"model": "old:latest"}) in ollama.asked
    assert "away:latest" not in str(ollama.asked)
    assert recorded(work) == {"models": {}, "blobs": {}}


def _to_replace(ollama: Site, store: Store) -> dict[str, Any]:
    """`old` is in the store and in memory; `new` is declared in its place."""
    store.add("old:latest", b"old")
    brings(ollama, store, "new:latest", b"new")
    ollama.routes["GET /api/ps"] = {"models": [{"name": "old:latest"}]}
    work = to_do(ollama, store, an_order("new:latest"), remove=["old:latest"], load={"ollama-gpu0": ["new:latest"]})
    mine = {"recipe": "x", "manifest": "y", "ours": True}
    ollama_models.write_record(work["record"], {"models": {"old:latest": mine}, "blobs": {}})
    return work


def test_a_model_goes_last(ollama: Site, store: Store) -> None:
    """It makes room in memory before the others are loaded, and in the store when they are."""
    work = _to_replace(ollama, store)
    ollama_models.main(work)
    asked = [(path, body["model"]) for _, path, body in ollama.asked if isinstance(body, dict) and "model" in body]
    assert [entry for entry in asked if entry[0] != "/api/show"] == [
        ("/api/pull", "new:latest"),
        ("/api/generate", "old:latest"),
        ("/api/generate", "new:latest"),
        ("/api/delete", "old:latest"),
    ]
    assert list(recorded(work)["models"]) == ["new:latest"]


@pytest.mark.parametrize("fails", ["POST /api/pull", "POST /api/show"], ids=["fetch", "load"])
def test_nothing_goes_where_what_is_to_replace_it_does_not_come(ollama: Site, store: Store, fails: str) -> None:
    """A typo in a model's name must not take from the users what they have."""
    work = _to_replace(ollama, store)
    ollama.routes[fails] = 500
    with pytest.raises(ollama_models.Failed):
        ollama_models.main(work)
    assert "DELETE /api/delete" not in ollama.paths()
    assert recorded(work)["models"]["old:latest"]["ours"]


def test_what_stays_is_said_and_stays_in_memory(ollama: Site, store: Store) -> None:
    work = _to_replace(ollama, store)
    ollama.routes["POST /api/pull"] = b'{"error": "pull model manifest: file does not exist"}\n'
    with pytest.raises(ollama_models.Failed, match=r"old:latest: no longer declared, and stays until all declared"):
        ollama_models.main(work)
    assert "POST /api/generate" not in ollama.paths()


def test_a_full_disk_deletes_nothing(ollama: Site, store: Store) -> None:
    work = _to_replace(ollama, store)
    ollama.routes["POST /api/pull"] = b'{"error": "write /x: no space left on device"}\n'
    with pytest.raises(ollama_models.Failed) as raised:
        ollama_models.main(work)
    first = str(raised.value).splitlines()[0]
    assert "no space left on device: disk is full: " in first
    assert "MB free; old:latest would go once all else is there; make room" in first
    assert "DELETE /api/delete" not in ollama.paths()


@pytest.mark.parametrize(
    ("capabilities", "path"),
    [(["completion", "tools"], "/api/generate"), (["embedding"], "/api/embed"), ([], "/api/generate")],
)
def test_load(ollama: Site, store: Store, capabilities: list[str], path: str) -> None:
    """A model that only embeds refuses to generate."""
    ollama.routes |= {"POST /api/show": {"capabilities": capabilities}, "POST /api/embed": {"embeddings": [[0.1]]}}
    ollama_models.main(to_do(ollama, store, load={"ollama-gpu0": ["tiny:latest"]}))
    _, asked, body = ollama.asked[-1]
    assert (asked, body["model"], body["keep_alive"]) == (path, "tiny:latest", -1)


def test_the_record_is_whole_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lib/record.json")
    ollama_models.write_record(path, {"models": {"a": 1}, "blobs": {}})

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ollama_models.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        ollama_models.write_record(path, {"models": {}, "blobs": {}})
    assert ollama_models.read_record(path) == {"models": {"a": 1}, "blobs": {}}
