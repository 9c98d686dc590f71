"""Models from a GGUF file: on the host, or fetched; used only if it is the declared one."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import ollama_models
from tests.remote.conftest import GGUF, Answer, Run, Site, chunks_cut_short, cut_short
from tests.remote.orders import an_order, brings, to_do
from tests.remote.store import Store, digest_of


def _file(tmp_path: Path) -> str:
    (tmp_path / "my model.gguf").write_bytes(GGUF)
    return f"file:{tmp_path}/my model.gguf"


def _order_of_file(origin: str, **changed: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(GGUF).hexdigest()
    return an_order(how="file", origin=origin, sha256=sha256, settings={"system": "Be brief."}, **changed)


def test_from_a_file(ollama: Site, store: Store, tmp_path: Path) -> None:
    brings(ollama, store)
    ollama_models.main(to_do(ollama, store, _order_of_file(_file(tmp_path))))
    asked, blob, create = ollama.asked[:3]
    assert asked == ("HEAD", f"/api/blobs/{digest_of(GGUF)}", b"")
    assert blob == ("POST", f"/api/blobs/{digest_of(GGUF)}", GGUF)
    files = {"my model.gguf": digest_of(GGUF)}
    assert create == ("POST", "/api/create", {"model": "tiny:latest", "system": "Be brief.", "files": files})


def test_from_a_url(ollama: Site, store: Store) -> None:
    brings(ollama, store)
    ollama.routes["/x.gguf"] = GGUF
    ollama_models.main(to_do(ollama, store, _order_of_file(f"{ollama.url}/x.gguf")))
    assert ollama.asked[2] == ("POST", f"/api/blobs/{digest_of(GGUF)}", GGUF)
    assert sorted(path.name for path in store.path.iterdir()) == ["blobs", "manifests"]


def test_a_gguf_that_the_store_has_is_not_fetched_again(ollama: Site, store: Store) -> None:
    brings(ollama, store)
    ollama.routes[f"HEAD /api/blobs/{digest_of(GGUF)}"] = 200
    ollama_models.main(to_do(ollama, store, _order_of_file(f"{ollama.url}/x.gguf")))
    assert "GET /x.gguf" not in ollama.paths()
    assert f"POST /api/blobs/{digest_of(GGUF)}" not in ollama.paths()
    assert "POST /api/create" in ollama.paths()


BAD_URLS: dict[str, tuple[Answer, str]] = {
    "not there": (404, "answers 404 Not Found"),
    "another file": (b"GGUF2", "declared is"),
    "broken off": (cut_short(len(GGUF), GGUF[:10]), "declared is"),
    "broken off in a chunk": (chunks_cut_short(GGUF[:10]), "IncompleteRead"),
}


@pytest.mark.parametrize(("answer", "says"), BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url_is_not_used(ollama: Site, store: Store, answer: Answer, says: str) -> None:
    ollama.routes["/x.gguf"] = answer
    with pytest.raises(ollama_models.Failed, match=says):
        ollama_models.main(to_do(ollama, store, _order_of_file(f"{ollama.url}/x.gguf")))
    assert [path for path in ollama.paths() if path.startswith(("GET", "POST"))] == ["GET /x.gguf"]
    assert [path.name for path in store.path.iterdir()] == ["blobs"]


def test_never_through_a_proxy(run: Run, ollama: Site, store: Store) -> None:
    """But a GGUF from elsewhere may come through one."""
    work = to_do(ollama, store, load={"ollama-gpu0": ["tiny:latest"]})
    done = run("ollama_models", work, http_proxy="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    order = _order_of_file("http://models.example/x.gguf")
    ollama.routes["http://models.example/x.gguf"] = b"GGUF2"
    done = run("ollama_models", to_do(ollama, store, order), http_proxy=ollama.url)
    assert "http://models.example/x.gguf has SHA-256" in done.stderr
