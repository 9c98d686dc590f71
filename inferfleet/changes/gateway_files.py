"""A gateway's files: what is written, what goes, and what is told of it."""

from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.engines.gateway_host import CERTIFICATE, ETC, USER, GatewayHost, HostFile


def written(declared: GatewayHost, state: dict[str, Any]) -> Changes:
    """Every file is as declared, and there are no others.

    Of maps and certificates only the name is told: what is in them may be a secret, or long.
    """
    found = state.get("files", {})
    effects, changes = [], []
    for name, one in declared.files.items():
        path = f"{ETC}/{name}"
        if why := _why(one, found.get(path)):
            taken_up = (
                " (taken up without a reload)"
                if (one.entries is not None or name == CERTIFICATE) and path in found
                else ""
            )
            effects.append(Effect("write", path, why + taken_up))
            changes += _shown(path, one, found.get(path))
    extra = sorted(set(found) - {f"{ETC}/{name}" for name in declared.files})
    effects += [Effect("remove", path, "is no longer declared") for path in extra]
    texts = {f"{ETC}/{name}": {"text": one.text, "mode": one.mode} for name, one in declared.files.items()}
    work = {"files": texts, "remove": extra, "write": bool(effects)}
    if not found:
        effects = [Effect("create", ETC, f"is missing, with its {len(texts)} files")]
    return Changes(tuple(effects), work, tuple(changes))


def _why(one: HostFile, found: dict[str, Any] | None) -> str:
    if found is None:
        return "is missing"
    if found["sha256"] != one.sha256:
        return "differs from what is declared"
    return "" if (found["mode"], found["owner"]) == (one.mode, f"0:{USER}") else "owner or mode is wrong"


def _shown(path: str, one: HostFile, found: dict[str, Any] | None) -> list[FileChange]:
    if one.secret or path.startswith((f"{ETC}/maps/", f"{ETC}/tls/")):
        return []
    before = found["text"] if found else None
    return [] if before == one.text else [FileChange(path, before, one.text)]
