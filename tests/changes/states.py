"""A host that is exactly as declared, and ways to spoil its answer."""

import copy
from typing import Any

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.engines.ollama_store import Entry
from inferfleet.plan import make_plan
from inferfleet.services import ollama_host
from inferfleet.spec import parse_fleet
from tests.spec.inventories import DIGEST, OLLAMA, Hosts, fleet

State = dict[str, Any]
Spoil = tuple[str, Any]
GONE = object()
VERSION = str(OLLAMA["version"])
MODELS: dict[str, dict[str, Any]] = {
    "llama2": {"engine": "ollama"},
    "chat": {"engine": "ollama", "source": "base", "system": "Be brief.", "vram_gib": 1},
    "own": {"engine": "ollama", "source": "file:/srv/own.gguf", "sha256": DIGEST, "vram_gib": 1},
}
HOSTS: Hosts = fleet(gpus=["A30", "A30"], models=MODELS)


def declared(hosts: Hosts = HOSTS) -> OllamaHost:
    """What the one host's Ollama must be."""
    (node,) = make_plan(parse_fleet(hosts)).nodes
    return ollama_host(node)


def digest(letter: str) -> str:
    """A digest that can be told from others in a message."""
    return f"sha256:{letter * 64}"


def state_of(host: OllamaHost) -> State:
    """The answer of `remote/ollama_state.py` on a host where all is as declared."""
    root = {"owner": "root", "mode": "644"}
    ollama = {"owner": "ollama", "mode": "755"}
    return {
        "user": {"home": "/usr/share/ollama", "outside": []},
        "directories": {"/usr/share/ollama": ollama, host.models_dir: ollama},
        "misowned": None,
        "release": {
            "root": "/opt/inferfleet/ollama",
            "current": host.version,
            "versions": {host.version: {"damaged": None, "unpacked": 100.0}},
        },
        "units": {
            service.name: {
                "file": service.unit,
                "link": None,
                "file_owner": root,
                "drop_in": service.drop_in,
                "drop_in_owner": root,
                "load": "loaded",
                "foreign": False,
                "enabled": "enabled",
                "active": "active",
                "stale": False,
                "executable": f"/opt/inferfleet/ollama/{host.version}/bin/ollama",
                "environment": {"PATH": "/usr/bin", **service.environment},
            }
            for service in host.services
        },
        "ours": [service.name for service in host.services],
        "stranger": None,
        "models": {entry.name: _model(entry) for entry in host.store},
        "record": {"models": {entry.name: _recorded(entry) for entry in host.store}, "blobs": {}},
        "loaded": {s.name: {name: {"size": 1, "size_vram": 1} for name in s.preload} for s in host.servers},
        "version": {service.name: host.version for service in host.services},
    }


def _model(entry: Entry) -> dict[str, Any]:
    letter = entry.name[0]
    return {"manifest": digest(letter), "weights": [digest(letter.upper())], "broken": {}, "new": {}}


def _recorded(entry: Entry) -> dict[str, Any]:
    return {"recipe": entry.recipe, "manifest": digest(entry.name[0]), "ours": True}


def spoiled(state: State, *spoils: Spoil) -> State:
    """The state with values at dotted paths replaced, added, or (`GONE`) taken away; `|` parts keys that hold dots."""
    state = copy.deepcopy(state)
    for path, value in spoils:
        *parents, last = path.split("|") if "|" in path else path.split(".")
        inner = state
        for key in parents:
            inner = inner[key]
        if value is GONE:
            del inner[last]
        else:
            inner[last] = value
    return state
