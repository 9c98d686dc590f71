"""From a node's plan to its services: templates rendered, and a digest of it all in the environment.

The digest is how the next run knows whether a *running* process was started with what is declared:
it stands in the process's environment, which nobody can change after the start.
"""

import hashlib

from inferfleet.engines import ollama
from inferfleet.engines.ollama_host import OllamaHost, Server, Service
from inferfleet.engines.ollama_store import entries
from inferfleet.placed import Instance
from inferfleet.plan import NodePlan
from inferfleet.render import render
from inferfleet.spec import OllamaEngine, tagged

SPEC = "INFERFLEET_SPEC"
_STORE = str(OllamaEngine.model_fields["models_dir"].default)
NO_OLLAMA = OllamaHost(
    version="", source="", sha256=None, models_dir=_STORE, servers=(), services=(), proxy={}, gpus=(), store=()
)


def ollama_host(node: NodePlan) -> OllamaHost:
    """What the node's Ollama must be; one without services where the node is to run none (any longer)."""
    if not node.instances:
        return NO_OLLAMA
    settings = node.instances[0].settings
    return OllamaHost(
        version=settings.version,
        source=node.sources.ollama,
        sha256=settings.sha256,
        models_dir=settings.models_dir,
        servers=tuple(Server(i.name, reached_at(i), _preload(i)) for i in node.instances),
        services=tuple(_service(instance) for instance in node.instances if instance.runtime == "native"),
        proxy=node.proxy,
        gpus=tuple(gpu for instance in node.instances for gpu in instance.gpus),
        store=entries(node.models, node.sources.models),
    )


def _service(instance: Instance) -> Service:
    environment = ollama.environment(instance)
    unit = render("systemd/ollama.service.j2", instance=instance, binary=ollama.BINARY)
    environment[SPEC] = _digest(instance.settings.version, unit, _drop_in(instance, environment))
    return Service(
        name=instance.name,
        address=reached_at(instance),
        unit=unit,
        drop_in=_drop_in(instance, environment),
        environment=environment,
    )


def _digest(version: str, *texts: str) -> str:
    """Of what systemd reads: another word in a comment restarts nothing."""
    lines = (line for text in texts for line in text.splitlines() if line and not line.startswith("#"))
    return hashlib.sha256("\n".join((version, *lines)).encode()).hexdigest()[:16]


def _preload(instance: Instance) -> tuple[str, ...]:
    """What stays in memory: all of its models, or none where there is not room for all: they then take turns."""
    room = instance.settings.max_loaded_models >= len(instance.models)
    stay = instance.settings.keep_alive == "forever" and room
    return tuple(map(tagged, instance.models)) if stay else ()


def _drop_in(instance: Instance, environment: dict[str, str]) -> str:
    return render(
        "systemd/ollama-drop-in.conf.j2",
        instance=instance,
        environment=environment,
        binary=ollama.BINARY,
        user=ollama.USER,
        home=ollama.HOME,
        models_dir=instance.settings.models_dir,
        cuda=any(gpu.backend == "cuda" for gpu in instance.gpus),
    )


def reached_at(instance: Instance) -> str:
    """`host:port` at which the host itself reaches an instance, also one that listens on every address."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    host = anywhere.get(instance.settings.host)
    return f"{host}:{instance.port}" if host else instance.address
