"""The service's user, its home and the models directory."""

from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines import ollama
from inferfleet.engines.ollama_host import OllamaHost


def account(declared: OllamaHost, state: dict[str, Any]) -> Changes:
    """The user `ollama` exists and owns its home and every file of the store."""
    effects = []
    if state.get("user") is None:
        effects.append(Effect("create", f"user {ollama.USER}", "is missing"))
    elif outside := state["user"]["outside"]:
        groups = " and ".join(outside)
        effects.append(Effect("repair", f"user {ollama.USER}", f"is not in {groups}, which may open cards"))
    directories = state.get("directories", {})
    for path in (ollama.HOME, declared.models_dir):
        found = directories.get(path)
        if found is None:
            effects.append(Effect("create", path, "is missing"))
        elif found["owner"] != ollama.USER:
            effects.append(Effect("repair", path, f"belongs to {found['owner']}"))
        elif int(found["mode"], 8) & 0o700 != 0o700:
            effects.append(Effect("repair", path, f"has mode {found['mode']}"))
    if state.get("misowned"):
        effects.append(Effect("repair", declared.models_dir, f"{state['misowned']} does not belong to {ollama.USER}"))
    work = {"user": ollama.USER, "home": ollama.HOME, "models_dir": declared.models_dir}
    return Changes(tuple(effects), work)
