"""Compare what a host says of itself with what is declared: pure, one file for each noun.

Each takes an `OllamaHost` and the answer of `remote/ollama_state.py` and gives `Changes`. An answer of `{}` is a host
that could not be asked yet (no python3): everything is missing there.
"""

from inferfleet.changes.account import account
from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.changes.cards import cards, with_uuids
from inferfleet.changes.containers import containers, containers_gone, started_otherwise
from inferfleet.changes.docker import docker
from inferfleet.changes.driver import driver
from inferfleet.changes.firewall import firewall
from inferfleet.changes.gateway import gateway
from inferfleet.changes.gateway_gone import gateway_gone
from inferfleet.changes.images import images, unused_images
from inferfleet.changes.managed_driver import managed_driver, source_of
from inferfleet.changes.models import models
from inferfleet.changes.release import release
from inferfleet.changes.services import services
from inferfleet.changes.toolkit import toolkit

__all__ = [
    "Changes", "Effect", "FileChange", "account", "cards", "containers", "containers_gone", "docker", "driver",
    "firewall", "gateway", "gateway_gone", "images", "managed_driver", "models", "release", "services", "source_of",
    "started_otherwise", "toolkit", "unused_images", "with_uuids",
]  # fmt: skip
