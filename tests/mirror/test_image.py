"""Images as files: the same input gives the same bytes, and what is written is what Docker and registries read."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from inferfleet.lab.mirror import runtime
from inferfleet.lab.mirror.blobs import CONFIG_TYPE, MANIFEST_TYPE, Blobs, write_archive, write_tar
from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.image import ICD, LabImage, build_image, images_root
from inferfleet.lab.mirror.ollama import missing_packages
from inferfleet.lab.mirror.prepare import OLLAMA
from inferfleet.lab.paths import cache_dir

LIBRARIES = "usr/lib/ollama/rt/lib"


def tar_of(members: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    write_tar(out, members)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    members = {"usr/bin/program": program, "tmp": 0o1777, "bin": "usr/bin", "etc/x": b"text", "usr/bin/y": b"#!/bin/sh"}
    first = tar_of(members)
    os.utime(program, (1, 1))
    program.chmod(0o755)
    assert tar_of(dict(reversed(members.items()))) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        modes = {member.name: member.mode for member in tar}
        assert all((member.uid, member.gid, member.mtime) == (0, 0, 0) for member in tar.getmembers())
    assert modes == {
        "bin": 0o777, "etc": 0o755, "etc/x": 0o644, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755,
        "usr/bin/program": 0o755, "usr/bin/y": 0o755,
    }  # fmt: skip


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "registry")


def small_image(blobs: Blobs) -> dict[str, Any]:
    """Descriptor of a manifest; the image has one layer."""
    layer = blobs.add_layer({"etc/x": b"text"})
    config = blobs.add(CONFIG_TYPE, b"{}")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer]}
    descriptor = blobs.add(MANIFEST_TYPE, json.dumps(manifest).encode())
    blobs.name("ollama/ollama", "1", descriptor["digest"], [config["digest"], layer["digest"]])
    return descriptor


def test_a_layer_is_a_blob_under_its_digest(blobs: Blobs) -> None:
    layer = blobs.add_layer({"etc/x": b"text"})
    assert blobs.add_layer({"etc/x": b"text"}) == layer
    content = blobs.path(layer["digest"]).read_bytes()
    assert (layer["digest"], layer["size"]) == (sha256(content), len(content))
    assert [path.name for path in blobs.root.iterdir()] == ["docker"]


def test_a_tag_can_be_followed_to_all_its_blobs(blobs: Blobs) -> None:
    """As the registry does it (distribution 2.8, registry/storage)."""
    descriptor = small_image(blobs)
    base = blobs.root / "docker/registry/v2/repositories/ollama/ollama"
    digest = (base / "_manifests/tags/1/current/link").read_text()
    assert digest == descriptor["digest"]
    digits = digest.removeprefix("sha256:")
    for link in (f"_manifests/revisions/sha256/{digits}", f"_manifests/tags/1/index/sha256/{digits}"):
        assert (base / link / "link").read_text() == digest
    manifest = json.loads(blobs.path(digest).read_bytes())
    for part in (manifest["config"], *manifest["layers"]):
        assert (base / "_layers/sha256" / part["digest"].removeprefix("sha256:") / "link").read_text() == part["digest"]
        assert blobs.path(part["digest"]).stat().st_size == part["size"]


def test_an_archive_is_for_docker_of_any_age(blobs: Blobs, tmp_path: Path) -> None:
    descriptor = small_image(blobs)
    write_archive(blobs, tmp_path / "x.tar", "ollama/ollama:1", descriptor)
    with tarfile.open(tmp_path / "x.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    for name, content in files.items():
        assert not name.startswith("blobs/") or name == f"blobs/sha256/{sha256(content).removeprefix('sha256:')}"
    (old,) = json.loads(files["manifest.json"])
    assert old["RepoTags"] == ["ollama/ollama:1"]
    assert {old["Config"], *old["Layers"]} <= set(files)
    (new,) = json.loads(files["index.json"])["manifests"]
    assert new["digest"] == descriptor["digest"]
    assert f"blobs/{new['digest'].replace(':', '/')}" in files


# --- the real one --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image() -> LabImage:
    if missing := missing_packages():
        pytest.skip(f"to build Ollama, install {' '.join(missing)}")
    return build_image(OLLAMA, cache_dir(), print)


def parts_of(image: LabImage) -> tuple[dict[str, Any], list[Path]]:
    """Its configuration, and its layers as files."""
    blobs = Blobs(images_root(cache_dir()))
    manifest = json.loads(blobs.path(image.digest).read_bytes())
    assert manifest["config"]["digest"] == image.id
    return json.loads(blobs.path(image.id).read_bytes()), [blobs.path(one["digest"]) for one in manifest["layers"]]


@pytest.mark.lab
def test_it_is_started_like_upstreams(image: LabImage) -> None:
    config = parts_of(image)[0]["config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/ollama"], ["serve"])
    assert config["ExposedPorts"] == {"11434/tcp": {}}
    assert {"OLLAMA_HOST=0.0.0.0:11434", "NVIDIA_VISIBLE_DEVICES=all"} <= set(config["Env"])
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in config["Env"]


@pytest.mark.lab
def test_the_software_gpu_is_not_in_it_but_all_that_it_needs(image: LabImage, tmp_path: Path) -> None:
    """It comes with a card: a container without one has no Vulkan, and one with a card finds what the driver needs."""
    for layer in parts_of(image)[1]:
        # Python 3.11.2 of Debian 12 has no filters for tarfile.
        subprocess.run(["tar", "-xf", layer, "-C", tmp_path], check=True)
    assert not [path for path in tmp_path.rglob("*") if "lvp" in path.name]
    for program in runtime.PROGRAMS:
        script = (tmp_path / "usr/lib/ollama" / program).read_text()
        assert f'VK_DRIVER_FILES="{ICD}"' in script
    tree = runtime.llama_runtime(fetch_packages(cache_dir(), print), cache_dir(), print)
    libraries = tmp_path / LIBRARIES
    command: list[str | Path] = [libraries / runtime.LOADER, "--inhibit-cache", "--library-path", libraries, "--list"]
    driver = tree / "rt/lib/libvulkan_lvp.so"
    listed = subprocess.run([*command, driver], capture_output=True, text=True, check=True, timeout=60).stdout
    found = [line.partition(" => ")[2] for line in listed.splitlines() if " => " in line]
    assert len(found) > 10
    assert all(line.startswith(str(libraries)) for line in found), listed


@pytest.mark.lab
def test_it_is_the_same_when_made_again(image: LabImage, tmp_path: Path) -> None:
    for part in ("llama", "ollama", "debian", "mirror/ollama"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).symlink_to(cache_dir() / part)
    again = build_image(OLLAMA, tmp_path, lambda _: None)
    assert (again.digest, again.id) == (image.digest, image.id)
    sums = [hashlib.file_digest(one.archive.open("rb"), "sha256").hexdigest() for one in (image, again)]
    assert sums[0] == sums[1]
