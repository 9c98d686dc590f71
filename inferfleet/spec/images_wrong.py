"""Images that are declared and would not be used, or hold another version than the declared one."""

import re
from collections.abc import Iterator, Mapping

from inferfleet.spec.engine import OllamaEngine
from inferfleet.spec.image import Reference
from inferfleet.spec.node import Node

_OF_CONTAINERS = ("image", "image_archive", "memory")
# Upstream's tags: 0.32.15, 0.32.15-rc1, 0.32.15-rocm; `latest` and `rocm` name no version.
_VERSION = re.compile(r"(\d+\.\d+\.\d+(?:-rc\d+)?)(?:-[a-z]\w*)?")


def images_wrong(nodes: Mapping[str, tuple[Node, OllamaEngine | None]]) -> Iterator[str]:
    """One line for each setting of containers where none is made, and for a tag that is not the version.

    Args:
        nodes: host name -> its node and its settings of Ollama.
    """
    shared = all(engine == next(iter(nodes.values()))[1] for _, engine in nodes.values())
    for name, (_, engine) in nodes.items():
        if engine is None:
            continue
        where = "engines.ollama" if shared else f"{name}: engines.ollama"
        # What several hosts share is right for all of them if one of them makes use of it.
        if not any(_makes_containers(node, engine) for node, other in nodes.values() if other == engine):
            for key in (key for key in _OF_CONTAINERS if getattr(engine, key) is not None):
                yield f"{where}.{key}: is set and runtime is 'native'; set runtime: \"docker\", or remove {key}"
        yield from _tag_wrong(where, engine)
        if shared:
            return


def _makes_containers(node: Node, engine: OllamaEngine) -> bool:
    return engine.runtime == "docker" or any(one.runtime == "docker" for one in node.instances or ())


def _tag_wrong(where: str, engine: OllamaEngine) -> Iterator[str]:
    if engine.image is None:
        return
    image = Reference.parse(engine.image)
    tag = _VERSION.fullmatch(image.tag or "")
    # An image of the user's own may count by itself.
    if tag and tag[1] != engine.version and image.repository.rpartition("/")[2] == "ollama":
        yield f"{where}.image: has tag {image.tag}, version is {engine.version}; write one version in both"
