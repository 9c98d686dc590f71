"""Container images as files, in the shape in which Docker's registry keeps them; the same files make an archive.

Shape (distribution 2.8, registry/storage/paths.go), below `docker/registry/v2`; a link is a file with a digest in it:

    blobs/sha256/<2 digits>/<digits>/data
    repositories/<name>/_layers/sha256/<digits>/link                    a blob that this repository has
    repositories/<name>/_manifests/revisions/sha256/<digits>/link       a manifest that it has
    repositories/<name>/_manifests/tags/<tag>/current/link
    repositories/<name>/_manifests/tags/<tag>/index/sha256/<digits>/link
"""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from inferfleet.lab.mirror.store import replace_file

MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar"

Descriptor = dict[str, Any]


class Blobs:
    """A registry's directory.

    Args:
        root: what the registry has as its root directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._base = root / "docker" / "registry" / "v2"

    def path(self, digest: str) -> Path:
        """Where a blob lies."""
        digits = digest.removeprefix("sha256:")
        return self._base / "blobs" / "sha256" / digits[:2] / digits / "data"

    def add(self, media_type: str, content: bytes) -> Descriptor:
        """The content is a blob; gives its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if not self.path(digest).exists():
            replace_file(self.path(digest), content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def add_layer(self, members: Mapping[str, Path | bytes | str | int]) -> Descriptor:
        """A tar of the members is a blob, uncompressed: its digest is its `diff_id` too. See `write_tar`."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.root, prefix=".layer-") as part:
            write_tar(part.file, members)
            part.flush()
            Path(part.name).chmod(0o644)
            part.seek(0)
            digest = f"sha256:{hashlib.file_digest(part, 'sha256').hexdigest()}"
            target = self.path(digest)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                # A second name for the file: the first goes with the block.
                target.hardlink_to(part.name)
            return {"mediaType": LAYER_TYPE, "digest": digest, "size": target.stat().st_size}

    def name(self, repository: str, tag: str, manifest: str, parts: Iterable[str]) -> None:
        """A repository offers the manifest by its digest and under a tag.

        Args:
            repository: such as `ollama/ollama`.
            tag: such as `0.32.15`.
            manifest: digest of the manifest, a blob.
            parts: digests of all that it names.
        """
        base = self._base / "repositories" / repository
        links = [base / "_layers" / "sha256" / part.removeprefix("sha256:") for part in parts]
        digits = manifest.removeprefix("sha256:")
        for digest, link in zip(parts, links, strict=True):
            replace_file(link / "link", digest.encode())
        tags = base / "_manifests" / "tags" / tag
        # The tag last: one that can be seen names what is there.
        for link in (base / "_manifests" / "revisions" / "sha256" / digits, tags / "index" / "sha256" / digits):
            replace_file(link / "link", manifest.encode())
        replace_file(tags / "current" / "link", manifest.encode())


def write_tar(out: IO[bytes], members: Mapping[str, Path | bytes | str | int]) -> None:
    """The same members give the same bytes: ordered by name, owned by root, of one time.

    Args:
        out: where it is written to.
        members: path in the image -> a file that is copied, bytes of a file (a program where they begin with `#!`),
            the target of a link as text, or the mode of a directory. Directories above them are made.
    """
    above = {str(parent): 0o755 for name in members for parent in Path(name).parents if str(parent) != "."}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, what in sorted({**above, **members}.items()):
            _add(archive, name, what)


def _add(archive: tarfile.TarFile, name: str, what: Path | bytes | str | int) -> None:
    member = tarfile.TarInfo(name)
    if isinstance(what, int):
        member.type, member.mode = tarfile.DIRTYPE, what
        archive.addfile(member)
    elif isinstance(what, str):
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, what
        archive.addfile(member)
    elif isinstance(what, bytes):
        member.size, member.mode = len(what), 0o755 if what.startswith(b"#!") else 0o644
        archive.addfile(member, io.BytesIO(what))
    else:
        status = what.stat()
        member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
        with what.open("rb") as file:
            archive.addfile(member, file)


def write_archive(blobs: Blobs, target: Path, reference: str, manifest: Descriptor) -> None:
    """An archive as `docker save` 25 and later writes it: for `docker load` of any age, and an OCI layout besides.

    Args:
        blobs: where the image is.
        target: the file to write.
        reference: the image's name and tag, such as `ollama/ollama:0.32.15`.
        manifest: descriptor of its manifest.
    """
    named = json.loads(blobs.path(manifest["digest"]).read_bytes())
    parts = [named["config"], *named["layers"]]
    names = {part["digest"]: f"blobs/sha256/{part['digest'].removeprefix('sha256:')}" for part in [*parts, manifest]}
    layers = [names[layer["digest"]] for layer in named["layers"]]
    notes = {"io.containerd.image.name": f"docker.io/{reference}"}
    members: dict[str, Path | bytes | str | int] = {name: blobs.path(digest) for digest, name in names.items()}
    members["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": notes}]}
    members["index.json"] = json.dumps(index).encode()
    config = names[named["config"]["digest"]]
    members["manifest.json"] = json.dumps([{"Config": config, "RepoTags": [reference], "Layers": layers}]).encode()
    part = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as out:
        write_tar(out, members)
    part.replace(target)
