"""From a node's plan to its containers: the template rendered, and a digest of it all in the container's label.

The digest is how the next run knows whether a *running* container was started with what is declared: a label cannot be
changed after the start. It leaves out where an image was pulled from: another mirror starts nothing anew.
"""

import hashlib
from collections.abc import Sequence

from inferfleet.engines import ollama
from inferfleet.engines.container_host import LABEL, USER_PLACE, Container
from inferfleet.engines.image import Image
from inferfleet.engines.ollama_host import ENVIRONMENT_DIR, UNIT_DIR
from inferfleet.placed import Instance, PlacedGpu
from inferfleet.plan import NodePlan
from inferfleet.render import render
from inferfleet.services import ollama_host, reached_at

# Ollama cuts what it is answering as soon as it is told to stop (0.32.15), so there is nothing to wait for.
_DRAIN_S = 10


def containers_of(node: NodePlan, cards: Sequence[PlacedGpu]) -> tuple[Container, ...]:
    """The node's containers.

    Args:
        node: the plan of the host.
        cards: the node's cards with the UUIDs that the host says they have, as far as it could be asked.
    """
    known = dict(zip(node.gpus, cards, strict=True))
    docker = [instance for instance in node.instances if instance.runtime == "docker"]
    return tuple(_container(node, instance, [known[gpu] for gpu in instance.gpus]) for instance in docker)


def question(node: NodePlan) -> dict[str, object]:
    """What to ask the host (`remote/container_state.py`); one question for all operations, so one answer."""
    docker = [instance for instance in node.instances if instance.runtime == "docker"]
    return {
        "unit_dir": UNIT_DIR,
        "environment_dir": ENVIRONMENT_DIR,
        "user": ollama.USER,
        "addresses": {instance.name: reached_at(instance) for instance in docker},
        "listens": {instance.name: instance.settings.host for instance in docker},
        "images": [image_of(node, instance).question for instance in docker],
    }


def staying(node: NodePlan) -> dict[str, list[str]]:
    """Instance -> the models that it must have in memory at all times."""
    return {server.name: list(server.preload) for server in ollama_host(node).servers}


def image_of(node: NodePlan, instance: Instance) -> Image:
    """What an instance's container is made from, and where that comes from."""
    return Image.declared(instance.image, instance.settings.image_archive, node.sources.images)


def _container(node: NodePlan, instance: Instance, cards: Sequence[PlacedGpu]) -> Container:
    environment = "".join(f"{name}={value}\n" for name, value in ollama.container_environment(instance).items())
    image = image_of(node, instance)
    devices = tuple(f"nvidia.com/gpu={card.uuid or card.index}" for card in cards)
    digest = _digest(_unit(node, instance, devices, image.name, ""), environment)
    return Container(
        name=instance.name,
        address=reached_at(instance),
        version=instance.settings.version,
        image=image,
        unit=_unit(node, instance, devices, image.runs, digest),
        environment=environment,
        digest=digest,
        devices=devices,
    )


def _unit(node: NodePlan, instance: Instance, devices: Sequence[str], image: str, digest: str) -> str:
    settings = instance.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return render(
        "systemd/container.service.j2",
        title=f"Ollama {settings.version}",
        name=instance.name,
        label=LABEL,
        digest=digest,
        user=USER_PLACE,
        devices=devices,
        publish=f"{host}:{instance.port}:{ollama.CONTAINER_PORT}",
        volumes=_volumes(settings.models_dir),
        shm_size="",
        ulimits=(),
        memory=settings.memory,
        environment_path=f"/etc/inferfleet/containers/{instance.name}.env",
        log_max_size=node.docker.log_max_size,
        log_max_files=node.docker.log_max_files,
        drain_s=_DRAIN_S,
        image=image,
        command="",
    )


def _volumes(models_dir: str) -> tuple[str, ...]:
    """Home and store at the paths that they have for services, so that either can go on with what the other left."""
    inside = models_dir.startswith(f"{ollama.HOME}/")
    return (ollama.HOME,) if inside else (ollama.HOME, models_dir)


def _digest(*texts: str) -> str:
    """Of what systemd and Docker read: another word in a comment restarts nothing."""
    lines = (line for text in texts for line in text.splitlines() if line and not line.startswith("#"))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
