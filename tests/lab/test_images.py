"""Images on a host with a real Docker: from a real registry by digest, and from archives as a user has them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.lab import HostSpec, Lab, LabHost, ssh
from inferfleet.lab.mirror.docker_registry import LabRegistry, prepare_registry, serve_registry
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.paths import cache_dir
from tests.lab.conftest import VERSIONS
from tests.lab.project import Project, Run

pytestmark = pytest.mark.lab

OLD, NEW = VERSIONS
# Docker comes from the distribution here: what is tested is what is done with it.
DOCKER = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q docker.io iptables python3"
DEPLOY = """
from inferfleet.current import my_node
from inferfleet.operations import images

node = my_node()
images.present(name="Images", declared=node)
images.pruned(name="Images no longer used", declared=node)
"""
# Waits until the script that brings images has recorded what it will pull, and kills it.
KILLER = """python3 -c '
import glob, os, signal, time
end = time.time() + 30
while time.time() < end:
    try:
        begun = "null" in open("/var/lib/inferfleet/images.json").read()
        for path in glob.glob("/proc/[0-9]*/cmdline") if begun else []:
            words = open(path).read().split(chr(0))
            text = chr(34) * 3 + "Pull or load the declared images"
            if words[0] == "python3" and any(word.startswith(text) for word in words[2:4]):
                os.kill(int(path.split("/")[2]), signal.SIGKILL)
                print("killed")
                raise SystemExit
    except OSError:
        continue
'"""
USERS = "user/tool:1"
NO_IMAGE = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def registry(mirror: Path) -> LabRegistry:
    return prepare_registry(VERSIONS, cache_dir(), lambda _: None)


@pytest.fixture(scope="module")
def fleet(registry: LabRegistry, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One host with Docker and an image of its user's, and a project that brings images and does nothing else."""
    with Lab(f"im{os.getpid() % 10**6}", [HostSpec("box1")]) as lab:
        serve_mirror(lab, mirror)
        address = serve_registry(lab, registry)
        host = lab.hosts["box1"]
        host.run(
            "mkdir -p /etc/docker && cat > /etc/docker/daemon.json", stdin=f'{{"insecure-registries": ["{address}"]}}'
        )
        host.run(DOCKER)
        host.run(f"echo tool > /tool && tar -c /tool | docker import - {USERS}")
        project = Project(tmp_path_factory.mktemp("images"), lab, {"box1": {"instances": [{"engine": "ollama"}]}})
        project.data["sources"]["images"] = f"http://{address}"
        (project.directory / "deploy.py").write_text(DEPLOY)
        yield project


def declare(fleet: Project, image: str, archive: str | None = None) -> Run:
    """Bring an image; what the run said."""
    fleet.data["engines"] = {
        "ollama": {
            "version": OLD if OLD in image else NEW,
            "runtime": "docker",
            "image": image,
            "image_archive": archive,
        },
    }
    return fleet.apply()


def converged(fleet: Project, image: str, archive: str | None = None) -> Run:
    """Bring an image, and see that a second run changes nothing; what the first run said."""
    run = declare(fleet, image, archive)
    assert run.rc == 0, run.text
    again = fleet.apply()
    assert (again.rc, again.changes) == (0, {}), again.text
    return run


def box(fleet: Project) -> LabHost:
    return fleet.host("box1")


def names(fleet: Project) -> set[str]:
    """Every name and ID that an image has, but for the user's own."""
    listed = box(fleet).run("docker images --digests --no-trunc --format '{{json .}}'").stdout.splitlines()
    found = [json.loads(line) for line in listed]
    return {
        *(one["ID"] for one in found if one["Repository"] != "user/tool"),
        *(f"{one['Repository']}:{one['Tag']}" for one in found if one["Tag"] != "<none>"),
        *(f"{one['Repository']}@{one['Digest']}" for one in found if one["Digest"] != "<none>"),
    } - {USERS}


def failure(run: Run) -> str:
    """The one line with which the host failed."""
    assert run.rc == 1, run.text
    lines = [line for line in run.text.splitlines() if "images: " in line]
    assert len(lines) == 1, run.text
    return lines[0].partition("images: ")[2]


def test_pulled_by_digest_from_the_mirror(fleet: Project, registry: LabRegistry) -> None:
    digest, address = registry.digests[OLD], fleet.data["sources"]["images"].removeprefix("http://")
    run = converged(fleet, f"ollama/ollama:{OLD}@{digest}")
    assert f"will fetch image ollama/ollama:{OLD}@{digest}: is not there" in run.text
    runs = f"{address}/ollama/ollama@{digest}"
    assert names(fleet) == {registry.images[OLD].id, runs}
    said = box(fleet).run(f"docker run --rm --user 1234:1234 -e HOME=/tmp {runs} --version").stdout
    assert f"version is {OLD}" in said


def test_only_what_we_brought_and_nobody_uses_goes(fleet: Project, registry: LabRegistry) -> None:
    """The old version is ours: it stays while a user's container is made of it, and goes after that."""
    old, new = registry.images[OLD], registry.images[NEW]
    box(fleet).run(f"docker create --name keeper {old.id}")
    run = converged(fleet, f"ollama/ollama:{NEW}@{new.digest}")
    assert "remove" not in run.text
    assert {old.id, new.id} <= names(fleet)
    box(fleet).run("docker rm keeper")
    run = converged(fleet, f"ollama/ollama:{NEW}@{new.digest}")
    assert "we brought it, and nothing uses it any longer" in run.text
    assert old.id not in names(fleet)
    assert box(fleet).run(f"docker image inspect {USERS}").returncode == 0


def test_a_digest_that_the_registry_has_not(fleet: Project) -> None:
    before = names(fleet)
    said = failure(declare(fleet, f"ollama/ollama:{NEW}@{NO_IMAGE}"))
    assert said.startswith(f"ollama/ollama:{NEW}@{NO_IMAGE}: ")
    assert "has no such image" in said
    assert names(fleet) == before


def test_a_registry_that_gives_another_image(fleet: Project, registry: LabRegistry, tmp_path: Path) -> None:
    """What it calls by a digest is something else: Docker sees it, and nothing stays."""
    lying = tmp_path / "lying"
    blobs = lying / "docker/registry/v2/blobs/sha256"
    real = registry.root / "docker/registry/v2"
    for path in real.rglob("*"):
        if path.is_file():
            copy = lying / path.relative_to(registry.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    old, new = (registry.digests[version].removeprefix("sha256:") for version in VERSIONS)
    told = blobs / old[:2] / old / "data"
    told.unlink()
    told.symlink_to(real / "blobs/sha256" / new[:2] / new / "data")
    address = serve_registry(fleet.lab, LabRegistry(registry.program, lying, {}), 5001)
    before, mirror = names(fleet), fleet.data["sources"]["images"]
    fleet.data["sources"]["images"] = f"http://{address}"
    box(fleet).run(f"""sed -i 's/"]/", "{address}"]/' /etc/docker/daemon.json && systemctl reload docker""")
    said = failure(declare(fleet, f"ollama/ollama:{OLD}@sha256:{old}"))
    fleet.data["sources"]["images"] = mirror
    assert f"{address} gave another image than the declared one; it was not kept" in said
    assert names(fleet) == before


def test_no_registry_and_a_registry_without_tls(fleet: Project, registry: LabRegistry) -> None:
    mirror, image = fleet.data["sources"]["images"], f"ollama/ollama:{OLD}@{registry.digests[OLD]}"
    gateway = fleet.lab.gateway
    fleet.data["sources"]["images"] = f"http://{gateway}:5009"
    assert f"registry {gateway}:5009 cannot be reached: " in failure(declare(fleet, image))
    fleet.data["sources"]["images"] = f"http://{serve_registry(fleet.lab, registry, 5002)}"
    assert f"{gateway}:5002 speaks plain http; name it in docker" in failure(declare(fleet, image))
    fleet.data["sources"]["images"] = mirror


def test_a_killed_pull_is_still_ours(fleet: Project, registry: LabRegistry) -> None:
    """Kill -9 on the host while it pulls, which Docker may or may not finish; the next runs go on as if it had not."""
    old, new = registry.images[OLD], registry.images[NEW]
    argv = ssh.command(fleet.lab.directory, box(fleet).address, [KILLER])
    killer = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    declare(fleet, f"ollama/ollama:{OLD}@{old.digest}")
    assert "killed" in killer.communicate(timeout=30)[0]
    converged(fleet, f"ollama/ollama:{OLD}@{old.digest}")
    assert declare(fleet, f"ollama/ollama:{NEW}@{new.digest}").rc == 0
    assert not {name for name in names(fleet) if old.id in name or old.digest in name}


def test_loaded_from_a_path_and_from_a_url(fleet: Project, registry: LabRegistry) -> None:
    """As a user's tar: pinned by the image's ID. What was pulled before is used no longer."""
    old, new = registry.images[OLD], registry.images[NEW]
    url = f"http://{fleet.lab.gateway}/images/{old.archive.name}"
    run = converged(fleet, f"ollama/ollama:{OLD}@{old.id}", url)
    assert "loading from" in run.text
    assert names(fleet) == {old.reference, old.id}
    path = f"/srv/{new.archive.name}"
    fetch = f"import urllib.request; urllib.request.urlretrieve('{url.replace(OLD, NEW)}', '{path}')"
    box(fleet).run(f'python3 -c "{fetch}"', timeout=60)
    run = converged(fleet, f"ollama/ollama:{NEW}@{new.id}", path)
    assert names(fleet) == {new.reference, new.id}
    assert f"version is {NEW}" in box(fleet).run(f"docker run --rm -e HOME=/tmp {new.id} --version").stdout


def test_an_archive_with_another_image_is_refused(fleet: Project, registry: LabRegistry) -> None:
    """And a user's image of the same tag keeps it."""
    old = registry.images[OLD]
    box(fleet).run(f"docker tag {USERS} {old.reference}")
    before = names(fleet)
    url = f"http://{fleet.lab.gateway}/images/{old.archive.name}"
    said = failure(declare(fleet, f"ollama/ollama:{NEW}@{NO_IMAGE}", url))
    assert f"{url} holds {old.reference} ({old.id}), not {NO_IMAGE}; it was not kept" in said
    assert names(fleet) == before
    tagged = box(fleet).run(f"docker image inspect -f '{{{{.Id}}}}' {old.reference} {USERS}").stdout.split()
    assert tagged[0] == tagged[1] != old.id


def test_a_full_disk(fleet: Project, registry: LabRegistry) -> None:
    """Docker's data on a file system with 100 MB: one line, and nothing of the image stays."""
    host = box(fleet)
    host.run("systemctl stop docker.socket docker && mount -t tmpfs -o size=100m tmpfs /var/lib/docker")
    host.run("systemctl start docker")
    said = failure(declare(fleet, f"ollama/ollama:{OLD}@{registry.digests[OLD]}"))
    assert re.search(r": disk is full: /var/lib/docker, where Docker keeps images, has \d+ MB free$", said), said
    assert host.run("docker images -aq").stdout == ""
    used = int(host.run("du -sm /var/lib/docker | cut -f1").stdout)
    host.run("systemctl stop docker.socket docker && umount /var/lib/docker && systemctl start docker")
    assert used < 20
