"""An image in the shape of `ollama/ollama`, with the real Ollama in it, made without Docker and without a registry.

What upstream's has (0.32, Dockerfile): merged /usr, `/usr/bin/ollama`, `/usr/lib/ollama`, and the environment below.
Here the base is Debian forky's C library, whose loader the hooks of NVIDIA's toolkit work with, and busybox, so that
`docker exec -it NAME sh` is of use.

On purpose it differs from the tarball of `ollama`: **the software GPU is not in it**, only what that needs. It comes
with a card, by CDI, as a real card's libraries do: the toolkit mounts the `nvidia_icd.json` of the driver's double and
the library that it names. A container without a card has no Vulkan.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferfleet.errors import LabError
from inferfleet.lab.mirror import runtime
from inferfleet.lab.mirror.blobs import CONFIG_TYPE, MANIFEST_TYPE, Blobs, write_archive
from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.ollama import build_ollama, ollama_binary
from inferfleet.lab.mirror.store import locked, make_once, replace_file
from inferfleet.lab.mirror.tools import BUSYBOX, fetch_tools

LAYOUT: Final = 2
"""Raise it when the image's shape changes, so that kept images are made anew."""

REPOSITORY: Final = "ollama/ollama"
ICD: Final = "/etc/vulkan/icd.d/nvidia_icd.json:/usr/share/vulkan/icd.d/nvidia_icd.json"
"""Where a card's Vulkan driver is named in a container that has one: by NVIDIA's toolkit 1.20, by older ones."""

ENVIRONMENT: Final = {
    "PATH": "/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LD_LIBRARY_PATH": "/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "OLLAMA_HOST": "0.0.0.0:11434",
    # Not upstream's: without it Ollama leaves software devices alone.
    "GGML_VK_VISIBLE_DEVICES": "0",
}
_APPLETS = (
    "sh ls cat env id ps kill sleep echo printf test true false head tail grep sed awk cut sort uniq wc tr find xargs "
    "mkdir rm rmdir mv cp ln chmod chown touch stat readlink realpath basename dirname df du free mount umount "
    "date uname hostname whoami wget nc ip ping vi less top tar gzip gunzip sha256sum od hexdump"
)
_SCRIPT = """\
#!/bin/sh
here=${{0%/*}}/rt
export VK_DRIVER_FILES="{icd}"
exec "$here/lib/{loader}" --library-path "$here/lib" "$here/{program}" "$@"
"""
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nvideo:x:44:\nrender:x:105:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/os-release": 'PRETTY_NAME="An Ollama image of the inferfleet lab"\nID=inferfleet-lab\n',
    "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
    # The hook of NVIDIA's toolkit renews it where there is one; every library here lies where the loader looks.
    "etc/ld.so.cache": "",
}
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
Members = dict[str, Path | bytes | str | int]


@dataclass(frozen=True)
class LabImage:
    """One image.

    Attributes:
        reference: its name and tag: `ollama/ollama:0.32.15`.
        digest: of its manifest, by which it is pulled: `sha256:...`.
        id: of its configuration, as Docker names an image that was loaded: `sha256:...`.
        archive: a tar for `docker load`.
    """

    reference: str
    digest: str
    id: str
    archive: Path


def images_root(cache: Path) -> Path:
    """The directory of the registry that has all the images."""
    return cache / "images" / "registry"


def build_image(version: str, cache: Path, say: Callable[[str], None]) -> LabImage:
    """The image of one version of Ollama is in the registry's directory, and as `<cache>/mirror/images/*.tar`.

    Args:
        version: of Ollama, without `v`: "0.32.15".
        cache: inferfleet's cache.
        say: is told what takes long.

    Raises:
        LabError: the version cannot be built here; says what is missing.
    """
    build_ollama(version, cache, say)
    debs, tools = fetch_packages(cache, say), fetch_tools(cache, say)
    made_of = {"layout": LAYOUT, "runtime": [runtime.LAYOUT, debs.name], "tools": tools.name}
    record = cache / "images" / f"ollama-{version}.json"
    archive = cache / "mirror" / "images" / f"ollama-{version}.tar"
    reference = f"{REPOSITORY}:{version}"
    with locked(record):
        blobs = Blobs(images_root(cache))
        found = json.loads(record.read_text()) if record.exists() else {}
        if found.get("made_of") != made_of or not (archive.exists() and blobs.path(found["digest"]).exists()):
            say(f"making the image {reference}")
            layers = _layers(blobs, version, debs, tools / BUSYBOX, cache, say)
            manifest, config = _describe(blobs, version, layers)
            blobs.name(REPOSITORY, version, manifest["digest"], [config["digest"], *(x["digest"] for x in layers)])
            write_archive(blobs, archive, reference, manifest)
            found = {"made_of": made_of, "digest": manifest["digest"], "id": config["digest"]}
            replace_file(record, json.dumps(found).encode())
    return LabImage(reference, found["digest"], found["id"], archive)


def _layers(
    blobs: Blobs, version: str, debs: Path, busybox: Path, cache: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Three, of which two versions of Ollama share all but the last."""
    base = {**_base(_libc(debs, cache)), **_shell(busybox)}
    ollama: Members = {"usr/bin/ollama": ollama_binary(version, cache, say)}
    return [blobs.add_layer(members) for members in (base, _llama(runtime.llama_runtime(debs, cache, say)), ollama)]


def _libc(debs: Path, cache: Path) -> Path:
    """The C library of the set of packages, unpacked."""
    found = next(debs.glob("libc6_*.deb"), None)
    if found is None:
        raise LabError(f"{debs}: has no C library (got no libc6_*.deb)", "remove that directory and try again")
    deb = found

    def unpack(part: Path) -> None:
        build_run(deb.name, ["dpkg-deb", "--extract", deb, part])

    return make_once(cache / "images" / "libc" / deb.stem, unpack)


def _base(libc: Path) -> Members:
    members: Members = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
    members |= {"tmp": 0o1777, "root": 0o700, "usr/sbin": 0o755, "etc/ld.so.conf.d": 0o755, "var/tmp": 0o1777}
    members |= {"dev": 0o755, "proc": 0o755, "sys": 0o755, "run": 0o755, "usr/share/vulkan/icd.d": 0o755}
    members |= {name: text.encode() for name, text in _TEXTS.items()}
    for path in (libc / _LIBRARIES).glob("*.so*"):
        members[f"{_LIBRARIES}/{path.name}"] = str(path.readlink()) if path.is_symlink() else path
    members[f"usr/lib64/{runtime.LOADER}"] = f"../lib/x86_64-linux-gnu/{runtime.LOADER}"
    return members


def _shell(busybox: Path) -> Members:
    return {"usr/bin/busybox": busybox, **{f"usr/bin/{name}": "busybox" for name in _APPLETS.split()}}


def _llama(tree: Path) -> Members:
    """`lib/ollama` without the software GPU; its libraries stay, for the one that a card brings."""
    where = "usr/lib/ollama"
    members: Members = {f"{where}/{path.relative_to(tree)}": path for path in tree.rglob("*") if path.is_file()}
    members = {name: what for name, what in members.items() if not name.endswith(("lvp_icd.json", "libvulkan_lvp.so"))}
    for program in runtime.PROGRAMS:
        script = _SCRIPT.format(icd=ICD, loader=runtime.LOADER, program=program)
        members[f"{where}/{program}"] = script.encode()
    return members


def _describe(blobs: Blobs, version: str, layers: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Descriptors of the manifest and of the configuration."""
    settings = {
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "Entrypoint": ["/bin/ollama"],
        "Cmd": ["serve"],
        "ExposedPorts": {"11434/tcp": {}},
        "Labels": {"org.opencontainers.image.version": version},
        "WorkingDir": "/",
    }
    made = "2026-01-01T00:00:00Z"
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": made,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "history": [{"created": made, "created_by": "inferfleet lab"} for _ in layers],
    }
    config = blobs.add(CONFIG_TYPE, json.dumps(image, sort_keys=True).encode())
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    return blobs.add(MANIFEST_TYPE, json.dumps(manifest).encode()), config
