"""One lab for all lab tests, with the mirror beside it; each test file says which hosts it needs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.lab import HostSpec, Lab
from inferfleet.lab.mirror.offer import prepare_offer, serve_offer
from inferfleet.lab.mirror.prepare import prepare_mirror
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.paths import cache_dir
from tests.lab.project import CPU_TWICE, FOUR_CARDS, GPU, Project, in_docker

VERSIONS = ["0.32.14", "0.32.15"]


@pytest.fixture(scope="session")
def mirror() -> Path:
    return prepare_mirror(VERSIONS, cache_dir(), lambda _: None)


@pytest.fixture(scope="session")
def lab(mirror: Path) -> Iterator[Lab]:
    name = f"t{os.getpid() % 10**6}"
    with Lab(name, [HostSpec("gpu1"), HostSpec("cpu1", suite="bookworm")]) as lab:
        serve_mirror(lab, mirror)
        yield lab


@pytest.fixture(scope="session")
def card_lab() -> Iterator[Lab]:
    """A host with four cards (doubles) and a neighbour without, and all that they need."""
    offer = prepare_offer(cache_dir(), lambda _: None, VERSIONS)
    name = f"c{os.getpid() % 10**6}"
    with Lab(name, [HostSpec("gpu1", gpus=("A30",) * 4), HostSpec("cpu1", suite="bookworm")]) as lab:
        serve_offer(lab, offer)
        yield lab


@pytest.fixture(scope="module")
def cards(card_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both hosts bare, and a project that declares one container for each card."""
    for host in card_lab.hosts.values():
        host.reset()
    project = Project(tmp_path_factory.mktemp("project"), card_lab, {"gpu1": FOUR_CARDS})
    project.data.update(in_docker(card_lab))
    return project


@pytest.fixture(scope="module")
def bare(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both hosts bare, and a project that declares the demo's fleet on them."""
    for host in lab.hosts.values():
        host.reset()
    return Project(tmp_path_factory.mktemp("project"), lab, {"gpu1": GPU, "cpu1": CPU_TWICE})
