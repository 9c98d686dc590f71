"""The registry's files are what a client must find."""

import hashlib
import json
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab import model
from inferfleet.lab.mirror.prepare import tiny_model
from inferfleet.lab.mirror.registry import Model, write_registry


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_registry(tmp_path, {"tiny": tiny_model(), "llama2:13b": tiny_model()})
    return tmp_path


def manifest(root: Path, path: str) -> dict:
    return json.loads((root / "v2" / path).read_text())


@pytest.mark.parametrize(("name", "tag"), [("tiny", "latest"), ("llama2", "13b")])
def test_every_blob_is_there_and_is_what_its_name_says(root: Path, name: str, tag: str) -> None:
    found = manifest(root, f"library/{name}/manifests/{tag}")
    for blob in [found["config"], *found["layers"]]:
        content = (root / "v2" / "library" / name / "blobs" / blob["digest"]).read_bytes()
        assert blob["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert blob["size"] == len(content)


def test_layers(root: Path) -> None:
    layers = manifest(root, "library/tiny/manifests/latest")["layers"]
    kinds = [layer["mediaType"].rpartition(".")[2] for layer in layers]
    assert kinds == ["model", "template", "params"]
    assert layers[0]["digest"] == f"sha256:{model.SHA256}"
    params = root / "v2" / "library" / "tiny" / "blobs" / layers[2]["digest"]
    assert json.loads(params.read_text()) == model.OLLAMA_PARAMETERS


def test_system_prompt_is_a_layer(tmp_path: Path) -> None:
    write_registry(tmp_path, {"me/tiny:s": Model(model.GGUF, "{{ .Prompt }}", {}, system="Be brief.")})
    layers = manifest(tmp_path, "me/tiny/manifests/s")["layers"]
    assert [layer["mediaType"].rpartition(".")[2] for layer in layers] == ["model", "template", "system"]
    assert (tmp_path / "v2" / "me" / "tiny" / "blobs" / layers[2]["digest"]).read_text() == "Be brief."


def test_equal_blobs_share_the_disk(root: Path) -> None:
    name = f"sha256:{model.SHA256}"
    one, other = (root / "v2" / "library" / each / "blobs" / name for each in ("tiny", "llama2"))
    assert one.samefile(other)


def test_again_changes_nothing(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    write_registry(root, {"tiny": tiny_model()})
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_another_model_under_the_same_name_replaces_it(root: Path) -> None:
    write_registry(root, {"tiny": Model(model.GGUF, "other", {})})
    layers = manifest(root, "library/tiny/manifests/latest")["layers"]
    assert layers[1]["digest"] == f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    assert len(manifest(root, "library/llama2/manifests/13b")["layers"]) == 3


@pytest.mark.parametrize("name", ["", "../tiny", "a/b/c", "tiny:", "tiny:..", "..", "a b", "host:80/x/y"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="registry: not a model name"):
        write_registry(tmp_path, {name: tiny_model()})
