"""Docker's packages: source and key, versions, holds, and what stands in their way."""

import re
from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.engines.docker_host import CONFLICTS, ENGINE, KEYRING, SOURCE, SUPPORT, DockerHost

MARK = "# Managed by inferfleet"


def same_version(full: str, wanted: str) -> bool:
    """Whether a package's version is the wanted one: all of it, or its upstream part (`28.2.2`)."""
    return full == wanted or re.sub(r"^\d+:", "", full).split("-")[0].split("+")[0] == wanted


def in_the_way(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    """Installed packages that must not be there beside the declared ones."""
    installed = state.get("apt", {}).get("installed", {})
    return [name for name in CONFLICTS[declared.settings.package] if name in installed]


def packages(declared: DockerHost, state: dict[str, Any]) -> Changes:
    """All packages are there, at their pins, held, from the declared source."""
    apt = state.get("apt", {"installed": {}, "held": [], "source": None})
    wanted, effects = _wanted(declared, apt["installed"], state)
    gone = in_the_way(declared, state)
    running = state.get("docker", {}).get("running", 0)
    ends = f" (ends {running} running containers)" if running else ""
    removed = [Effect("remove", name, f"stands in the way of {declared.settings.package}{ends}") for name in gone]
    removed = [Effect(e.kind, e.what, e.why, interrupts=bool(running)) for e in removed]
    holds = [name for name in engine_packages(declared, state) if name not in apt["held"]]
    effects += [
        Effect("repair", name, "is not held, an upgrade would take it along")
        for name in holds
        if name in apt["installed"]
    ]
    sources, files = _source(declared, apt["source"], state)
    work = {
        "source": declared.source,
        "stale_source": [SOURCE, KEYRING] if any(e.kind == "remove" for e in sources) else [],
        "bring": bool(declared.source) and bool(wanted or sources),
        "replace": declared.settings.replace,
        "install": wanted,
        "optional": ["docker-cli"] if not state else [],
        "remove": gone,
        # apt lets go of what it installs at a version.
        "hold": engine_packages(declared, state) if wanted else holds,
    }
    return Changes((*sources, *removed, *effects), work, files)


def engine_packages(declared: DockerHost, state: dict[str, Any]) -> list[str]:
    """The packages that are held. Only Debian from 13 on has the client in a package of its own."""
    host = state.get("host", {})
    old = host.get("distribution") == "ubuntu" or host.get("suite") in ("bullseye", "bookworm")
    return [name for name in ENGINE[declared.settings.package] if not (name == "docker-cli" and old)]


def _wanted(
    declared: DockerHost, installed: dict[str, str], state: dict[str, Any]
) -> tuple[dict[str, str | None], list[Effect]]:
    """What is to be installed, at which version; containerd has versions of its own."""
    main, effects = declared.settings.package, []
    pin = declared.settings.version or installed.get(main)
    wanted: dict[str, str | None] = {}
    for name in (*engine_packages(declared, state), *SUPPORT):
        version = pin if name.startswith("docker") else None
        there = installed.get(name)
        if there is None:
            wanted[name] = version
            effects.append(Effect("install", f"{name} {version}" if version else name, "is missing"))
        elif version and not same_version(there, version):
            wanted[name] = version
            effects.append(_other_version(name, there, version, state))
    return wanted, effects


def _other_version(name: str, there: str, version: str, state: dict[str, Any]) -> Effect:
    """The package's own scripts restart Docker; containers run on only from one patch release to another."""
    docker = state.get("docker", {})
    lives = docker.get("in_force", {}).get("live-restore", False) and _series(there) == _series(version)
    # The units of ours require Docker's: systemd ends them with it whatever live-restore keeps.
    ended = docker.get("ours", 0) if lives else docker.get("running", 0)
    told = f" (ends {ended} running container{'s' if ended > 1 else ''})" if ended else ""
    return Effect("install", f"{name} {version}", f"installed is {there}{told}", interrupts=bool(ended))


def _series(version: str) -> list[str]:
    """`28.2` of `5:28.2.2-1~debian.13~trixie`."""
    return re.sub(r"^\d+:", "", version).split(".")[:2]


def _source(
    declared: DockerHost, found: dict[str, Any] | None, state: dict[str, Any]
) -> tuple[list[Effect], tuple[FileChange, ...]]:
    if declared.source is None:
        if found and (found["text"] or "").startswith(MARK):
            why = f"{declared.settings.package} is the distribution's"
            return [Effect("remove", SOURCE, why)], (FileChange(SOURCE, found["text"], None),)
        return [], ()
    effects, text = [], filled(declared.source["text"], state.get("host", {}))
    if not found or not found["key"]:
        effects.append(Effect("write", KEYRING, "is missing"))
    elif not set(found["key"]) <= set(declared.source["fingerprints"]):
        effects.append(Effect("write", KEYRING, f"holds {', '.join(found['key'])}, declared is another key"))
    for path in (found or {}).get("conflicts", []):
        effects.append(Effect("remove", path, "names Docker's repository with another key"))
    if found and found["text"] == text:
        return effects, ()
    why = "is missing" if not found or found["text"] is None else "differs from what is declared"
    before = found["text"] if found else None
    return [*effects, Effect("write", SOURCE, why)], (FileChange(SOURCE, before, text),)


def filled(text: str, host: dict[str, str]) -> str:
    """The text with what only the host knows."""
    for name, value in host.items():
        text = text.replace("{" + name + "}", value)
    return text
