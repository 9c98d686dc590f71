"""The declared models are in the store, whole and as declared, and in memory where they must stay."""

from collections.abc import Collection
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.changes.services import services
from inferfleet.engines.ollama_host import RECORD, OllamaHost
from inferfleet.engines.ollama_store import Entry


def models(declared: OllamaHost, state: dict[str, Any], restarted: Collection[str] = ()) -> Changes:
    """The store holds what is declared, and nothing that we once brought and that is declared no longer.

    Args:
        declared: what must be.
        state: what the host says of itself.
        restarted: containers that this run starts anew before, and that then have nothing in memory.
    """
    found, recorded = state.get("models", {}), state.get("record", {}).get("models", {})
    bring = {entry.name: reason for entry in declared.store if (reason := _why_brought(entry, found, recorded))}
    for entry in declared.store:
        if entry.how == "create" and entry.origin in bring and entry.name not in bring:
            bring[entry.name] = f"is made from {entry.origin}"
    names = {entry.name for entry in declared.store}
    gone = [name for name, entry in recorded.items() if name not in names and name in found and entry["ours"]]
    anew = {*restarted, *(name for name, _ in services(declared, state).work["restart"])}
    loaded = {name: models for name, models in state.get("loaded", {}).items() if name not in anew}
    load = {s.name: _not_loaded(s.preload, found, loaded.get(s.name), bring) for s in declared.servers}
    effects = [Effect(_kind(entry), entry.name, bring[entry.name]) for entry in declared.store if entry.name in bring]
    effects += [
        Effect("load", f"{name} on {service}", "is not in memory") for service in load for name in load[service]
    ]
    # Last, in the work as well: what is to take its place may be a typo.
    effects += [Effect("remove", name, "is no longer declared") for name in gone]
    stale = [name for name in recorded if name not in names and name not in found]
    effects += [Effect("write", RECORD, f"{name} is recorded, but neither declared nor there") for name in stale]
    unhashed = sum(len(found[name]["new"]) for name in names if found.get(name) and name not in bring)
    if unhashed:
        effects.append(Effect("write", RECORD, f"{unhashed} blobs were not checked before"))
    return Changes(tuple(effects), _work(declared, state, bring, gone + stale, load))


def _kind(entry: Entry) -> Any:
    return "create" if entry.how == "create" else "fetch"


def _why_brought(entry: Entry, found: dict[str, Any], recorded: dict[str, Any]) -> str:
    """Why an entry must be brought (again); empty when the one in the store is the declared one."""
    model, record = found.get(entry.name), recorded.get(entry.name)
    if model is None:
        return "is missing"
    if model["broken"]:
        digest, state = next(iter(model["broken"].items()))
        return f"{digest[:19]} is {state}"
    if entry.pin and entry.pin not in (model["manifest"], *model["weights"]):
        return f"is {model['manifest'][:19]}, pinned to {entry.pin[:19]}"
    if entry.is_plain:
        return ""
    if record is None:
        return "is there, but not known to be made as declared"
    if record["recipe"] != entry.recipe:
        return "was made from other settings"
    return "" if record["manifest"] == model["manifest"] else "was changed since it was made"


def _not_loaded(
    preload: tuple[str, ...], found: dict[str, Any], loaded: dict[str, Any] | None, bring: dict[str, str]
) -> list[str]:
    """Models not in an instance's memory. Ollama keeps one runner for names that share their weights."""
    loaded = loaded or {}
    weights = [found[name]["weights"] for name in loaded if found.get(name)]

    def is_in_memory(name: str) -> bool:
        return name not in bring and (name in loaded or (found.get(name) or {"weights": None})["weights"] in weights)

    return [name for name in preload if not is_in_memory(name)]


def _work(
    declared: OllamaHost, state: dict[str, Any], bring: dict[str, str], gone: list[str], load: dict[str, list[str]]
) -> dict[str, Any]:
    found = state.get("models", {})
    broken = {d: how for name in bring if found.get(name) for d, how in found[name]["broken"].items()}
    recorded = state.get("record", {}).get("models", {})
    return {
        "models_dir": declared.models_dir,
        "proxy": declared.proxy,
        "record": RECORD,
        "addresses": {server.name: server.address for server in declared.servers},
        "bring": [_order(entry, found, recorded) for entry in declared.store if entry.name in bring],
        "known": [entry.name for entry in declared.store],
        "checked": {d: now for model in found.values() for d, now in (model or {"new": {}})["new"].items()},
        "broken": sorted(d for d, how in broken.items() if how == "corrupt" and d.startswith("sha256:")),
        "remove": [name for name in gone if name in found],
        "forget": [name for name in gone if name not in found],
        "load": {service: names for service, names in load.items() if names},
        "stay": {server.name: list(server.preload) for server in declared.servers if load[server.name]},
    }


def _order(entry: Entry, found: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    ours = recorded[entry.name]["ours"] if entry.name in recorded else entry.name not in found
    return {
        "name": entry.name,
        "how": entry.how,
        "origin": entry.origin,
        "mirror": entry.mirror,
        "pin": entry.pin,
        "sha256": entry.sha256,
        "settings": entry.settings,
        "recipe": entry.recipe,
        "ours": ours,
    }
