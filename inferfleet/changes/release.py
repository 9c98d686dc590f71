"""The unpacked release and the link that makes it live."""

from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines import ollama
from inferfleet.engines.ollama_host import OllamaHost


def release(declared: OllamaHost, state: dict[str, Any]) -> Changes:
    """The declared version is unpacked whole and live; at most one other version is kept, for the way back."""
    found = state.get("release", {"current": None, "versions": {}})
    versions, version = found["versions"], declared.version
    effects = []
    unpack = version not in versions or versions[version]["damaged"] is not None
    if version not in versions:
        effects.append(Effect("fetch", f"Ollama {version}", f"is not on the host; from {declared.source}"))
    elif unpack:
        effects.append(Effect("fetch", f"Ollama {version}", f"{versions[version]['damaged']} was changed or removed"))
    if found["current"] != version:
        effects.append(Effect("install", f"Ollama {version}", f"live is {found['current'] or 'none'}"))
    kept = _kept(version, found)
    effects += [
        Effect("remove", f"Ollama {old}", "is older than the previous one") for old in versions if old not in kept
    ]
    work = {
        "root": ollama.ROOT,
        "version": version,
        "base": f"{declared.source}/v{version}",
        "archive": ollama.ARCHIVE,
        "sha256": declared.sha256,
        "proxy": declared.proxy,
        "unpack": unpack,
        "keep": sorted(kept),
    }
    return Changes(tuple(effects), work)


def _kept(version: str, found: dict[str, Any]) -> set[str]:
    """The declared version and the one before it: the live one if it is another, else the newest of the rest."""
    others = sorted((v for v in found["versions"] if v != version), key=lambda v: found["versions"][v]["unpacked"])
    before = found["current"] if found["current"] in others else (others[-1] if others else version)
    return {version, before}
