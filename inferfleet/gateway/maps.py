"""HAProxy's maps: a key and a value in each line, changed at run time through the admin socket."""

import hashlib
from collections.abc import Iterable, Mapping

from inferfleet.gateway.answers import errors, ollama_list, openai_list
from inferfleet.plan import GatewayPlan
from inferfleet.spec import Key, tagged

# Everything else does not exist: the engines' paths that change or tell something are behind no key.
PATHS = {
    "/v1/chat/completions": "generate",
    "/v1/completions": "generate",
    "/v1/embeddings": "generate",
    "/v1/responses": "generate",
    "/api/chat": "generate",
    "/api/generate": "generate",
    "/api/embed": "generate",
    "/api/embeddings": "generate",
    "/v1/models": "models",
    "/api/tags": "tags",
    "/api/version": "version",
}


def maps(plan: GatewayPlan, keys: Iterable[Key], provider_keys: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Every map by the name of its file.

    Keys that may ask the same models form a set; models are allowed to sets, so that a key more is three lines more.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in ("keys", "sets", "rpm", "concurrency")}
    openai, ollama = _routes(plan)
    sets = {_set_of(plan, ("*",)): plan.offered}
    for key in keys:
        allowed = _allowed(plan, key.models)
        sets[_set_of(plan, key.models)] = allowed
        found["keys"][key.sha256] = key.id
        found["sets"][key.id] = _set_of(plan, key.models)
        found["rpm"][key.id] = str(key.rpm)
        found["concurrency"][key.id] = str(key.concurrency)
    by_ollama = {name: tuple(one for one in names if one in ollama) for name, names in sets.items()}
    return {
        **found,
        "openai": openai,
        "ollama": ollama,
        "allow": {f"{name}|{also}": "1" for name, names in sets.items() for one in names for also in _also(one)},
        "models": {name: openai_list(names) for name, names in sets.items()},
        "tags": {name: ollama_list(map(tagged, names)) for name, names in by_ollama.items()},
        "paths": dict(PATHS),
        "errors": errors(plan.settings.max_body_bytes),
        "providers": {name: f"Bearer {key}" for name, key in provider_keys.items()},
    }


def text(entries: Mapping[str, str]) -> str:
    """A map as a file."""
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def _routes(plan: GatewayPlan) -> tuple[dict[str, str], dict[str, str]]:
    """Names to backends, for each API: providers speak OpenAI's alone, so to Ollama's the chain's own model answers."""
    direct = {name: backend.name for backend in plan.backends for name in backend.names}
    openai = {**direct, **{chain.name: chain.backend for chain in plan.chains}}
    ollama = dict(direct)
    for chain in plan.chains:
        if not any(tier.provider for tier in chain.tiers):
            ollama[chain.name] = chain.backend
        elif own := [tier for tier in chain.tiers if tier.backend and not tier.renames]:
            ollama[chain.name] = str(own[0].backend)
    return _with_tags(openai), _with_tags(ollama)


def _with_tags(routes: Mapping[str, str]) -> dict[str, str]:
    return {also: backend for name, backend in routes.items() for also in _also(name)}


def _also(name: str) -> tuple[str, ...]:
    """To Ollama's clients `llama2` and `llama2:latest` are the same."""
    return tuple(dict.fromkeys((name, tagged(name), name.removesuffix(":latest"))))


def _allowed(plan: GatewayPlan, models: tuple[str, ...]) -> tuple[str, ...]:
    return plan.offered if "*" in models else tuple(name for name in plan.offered if name in models)


def _set_of(plan: GatewayPlan, models: tuple[str, ...]) -> str:
    """Its name says what it holds, so that an old map never gives a new meaning to a set."""
    if "*" in models:
        return "all"
    return "s" + hashlib.sha256("\n".join(_allowed(plan, models)).encode()).hexdigest()[:12]
