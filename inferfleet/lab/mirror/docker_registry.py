"""Debian's `docker-registry` as a service of a lab: hosts pull `<gateway>:5000/ollama/ollama@sha256:...` from it.

It serves what `image` has laid out and takes nothing in, so that labs beside each other can share one directory.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferfleet.lab.lab import Lab
from inferfleet.lab.mirror.image import LabImage, build_image, images_root
from inferfleet.lab.mirror.tools import REGISTRY, fetch_tools

PORT: Final = 5000


@dataclass(frozen=True)
class LabRegistry:
    """A registry that can be served.

    Attributes:
        program: the registry itself.
        root: its directory; see `blobs`.
        images: tag -> image.
    """

    program: Path
    root: Path
    images: dict[str, LabImage]

    @property
    def digests(self) -> dict[str, str]:
        """Tag -> digest of the manifest, such as `{"0.32.15": "sha256:..."}`."""
        return {tag: image.digest for tag, image in self.images.items()}


def prepare_registry(versions: Sequence[str], cache: Path, say: Callable[[str], None]) -> LabRegistry:
    """Images of these versions of Ollama are there, and a program to serve them.

    Raises:
        LabError: something cannot be built or fetched here.
    """
    images = {version: build_image(version, cache, say) for version in versions}
    return LabRegistry(fetch_tools(cache, say) / REGISTRY, images_root(cache), images)


def serve_registry(lab: Lab, registry: LabRegistry, port: int = PORT) -> str:
    """Hosts of the lab can pull the registry's images from the lab's gateway, by plain HTTP.

    Args:
        lab: a lab that is up.
        registry: made by `prepare_registry`.
        port: TCP port at the gateway.

    Returns:
        The address, such as `10.77.1.1:5000`; hosts must have it among Docker's `insecure-registries`.
    """
    address = f"{lab.gateway}:{port}"
    settings = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        "storage": {
            "filesystem": {"rootdirectory": str(registry.root)},
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}},
        },
        "http": {"addr": address, "secret": "read-only"},
    }
    # JSON is YAML too.
    path = lab.directory / f"registry-{port}.yml"
    path.write_text(json.dumps(settings, indent=1) + "\n")
    lab.serve([registry.program, "serve", path], f"registry-{port}", port=port)
    return address
