"""All that the mirror has, prepared at once, served to a lab, and told to its inventories."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferfleet.lab.inventory import OFFER
from inferfleet.lab.lab import Lab
from inferfleet.lab.mirror.docker_registry import LabRegistry, prepare_registry, serve_registry
from inferfleet.lab.mirror.prepare import OLLAMA, prepare_mirror
from inferfleet.lab.mirror.repositories import DOCKER, DRIVERS, TOOLKITS, Repositories, prepare_repositories
from inferfleet.lab.mirror.serve import serve_mirror


@dataclass(frozen=True)
class Offer:
    """What was prepared.

    Attributes:
        root: of the mirror.
        registry: container images.
        repositories: apt packages.
    """

    root: Path
    registry: LabRegistry
    repositories: Repositories


def prepare_offer(cache: Path, say: Callable[[str], None], versions: Sequence[str] = (OLLAMA,)) -> Offer:
    """Releases, models, images and packages are there.

    Args:
        cache: inferfleet's cache.
        say: is told what takes long: some five minutes at the first time.
        versions: of Ollama.

    Raises:
        LabError: something cannot be built or fetched here.
    """
    root = prepare_mirror(versions, cache, say)
    return Offer(root, prepare_registry(versions, cache, say), prepare_repositories(root, cache, say))


def serve_offer(lab: Lab, offer: Offer) -> None:
    """Hosts of the lab can fetch all of it, and `lab.offered` says where."""
    mirror, registry = serve_mirror(lab, offer.root), serve_registry(lab, offer.registry)
    key = offer.repositories.fingerprint
    sources = {
        "ollama": f"{mirror}/ollama",
        "models": mirror,
        "images": f"http://{registry}",
        "docker": f"{mirror}/{DOCKER}",
        "docker_fingerprint": key,
        "nvidia_toolkit": f"{mirror}/{TOOLKITS}",
        "nvidia_toolkit_fingerprint": key,
        "nvidia_driver": f"{mirror}/{DRIVERS}",
        "nvidia_driver_fingerprint": key,
    }
    images = {tag: f"ollama/ollama:{tag}@{digest}" for tag, digest in offer.registry.digests.items()}
    (lab.directory / OFFER).write_text(json.dumps({"sources": sources, "images": images}, indent=1) + "\n")
