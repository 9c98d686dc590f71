"""The instances' units: files, enablement, and whether each running process is the declared one."""

from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange, on_no_interface
from inferfleet.engines import ollama
from inferfleet.engines.ollama_host import MARK, UNIT_DIR, OllamaHost, Service

_ROOT_FILE = {"owner": "root", "mode": "644"}
_TAKEN = "{}.service is another program's; give the instance another `name`"


def services(declared: OllamaHost, state: dict[str, Any]) -> Changes:
    """Each instance's unit is as declared, enabled, and runs what is declared; units of ours beyond them are gone.

    A host where a name would take over the unit of another program is refused.
    """
    stranger = state.get("stranger")
    if refused := dict.fromkeys(why for service in declared.services if (why := _why_refused(service, state))):
        return Changes(tuple(Effect("refuse", "this host", why) for why in refused), {"restart": []})
    effects: list[Effect] = []
    files: list[FileChange] = []
    restart: list[str] = []
    links: dict[str, str] = {}
    for position, service in enumerate(declared.services):
        found = state.get("units", {}).get(service.name, {})
        takes_over = stranger is not None and position == 0
        if stranger and takes_over and service.name != "ollama":
            links[service.unit_path] = stranger
        changed = _files(service, found, takes_over, stranger)
        files += changed
        effects += [Effect("write", change.path, _why_written(change)) for change in changed]
        effects += _enablement(service, found)
        root = state.get("release", {}).get("root", ollama.ROOT)
        reason = _why_restart(f"{root}/{declared.version}", service, found, state.get("version", {}).get(service.name))
        if reason or (service.unit_path in links and found.get("link") != stranger):
            reason = reason or f"runs under a unit of its own, {stranger} is to be that"
            restart.append(service.name)
            running = found.get("active") == "active"
            effects.append(Effect("restart" if running else "start", service.name, reason, interrupts=running))
    gone = [name for name in state.get("ours", []) if name not in [s.name for s in declared.services]]
    to_docker = {name: "is to run in Docker" for name in gone if name in declared.containers}
    effects += [Effect("remove", n, to_docker.get(n, "is no longer declared"), interrupts=True) for n in gone]
    return Changes(tuple(effects), _work(declared, links, restart, gone, stranger), tuple(files))


def _why_refused(service: Service, state: dict[str, Any]) -> str:
    taken = _TAKEN.format(service.name) if _is_taken(service, state) else ""
    return taken or on_no_interface(service.address, state)


def _is_taken(service: Service, state: dict[str, Any]) -> bool:
    """Whether the unit is neither ours nor an Ollama that is taken over (it then carries our drop-in, or its name)."""
    found = state.get("units", {}).get(service.name, {})
    return bool(found.get("foreign")) and found.get("drop_in") is None and service.name != "ollama"


def _files(service: Service, found: dict[str, Any], takes_over: bool, stranger: str | None) -> list[FileChange]:
    wanted = [(service.drop_in_path, found.get("drop_in"), service.drop_in, found.get("drop_in_owner"))]
    if not takes_over:
        wanted.append((service.unit_path, found.get("file"), service.unit, found.get("file_owner")))
    elif service.name != "ollama" and found.get("link") != stranger:
        wanted.append((service.unit_path, found.get("file"), f"-> {stranger}\n", None))
    return [
        FileChange(path, before, after)
        for path, before, after, owner in wanted
        if before != after or (owner is not None and owner != _ROOT_FILE)
    ]


def _why_written(change: FileChange) -> str:
    if change.before is None:
        return "is missing"
    return "owner or mode is wrong" if change.before == change.after else "differs from what is declared"


def _enablement(service: Service, found: dict[str, Any]) -> list[Effect]:
    if "masked" in (found.get("enabled", ""), found.get("load", "")):
        return [Effect("repair", service.name, "is masked")]
    if found.get("enabled") not in ("enabled", "alias", "generated"):
        return [Effect("enable", service.name, "does not start at boot")]
    if found.get("stale"):
        return [Effect("repair", service.name, "systemd has not read its files since they changed")]
    return []


def _why_restart(release: str, service: Service, found: dict[str, Any], answers: str | None) -> str:
    """Why the process must be started anew; empty when the running one is the declared one.

    Args:
        release: the release's directory with no link in it, as the kernel says it.
        service: what must run.
        found: what is known of its unit.
        answers: the version that its API says.
    """
    version = release.rpartition("/")[2]
    if found.get("active") != "active":
        return f"is {found.get('active') or 'missing'}"
    running = found.get("executable") or ""
    if running != f"{release}/bin/ollama":
        return f"runs {running or 'an unknown program'}, declared is {version}"
    for name, value in service.environment.items():
        got = found["environment"].get(name)
        if got != value:
            return f"was started with {ollama.different(name, got, value)}"
    if answers != version:
        return f"answers as {answers}" if answers else f"does not answer at {service.address}"
    return ""


def _work(
    declared: OllamaHost, links: dict[str, str], restart: list[str], gone: list[str], stranger: str | None
) -> dict[str, Any]:
    own = [s for position, s in enumerate(declared.services) if stranger is None or position > 0]
    taken_over = ["ollama"] if stranger and declared.services else []
    return {
        "mark": MARK,
        "unit_dir": UNIT_DIR,
        "files": {s.drop_in_path: s.drop_in for s in declared.services} | {s.unit_path: s.unit for s in own},
        "links": links,
        "enable": [s.name for s in own] + taken_over,
        "names": [s.name for s in declared.services],
        "restart": [[s.name, s.address] for s in declared.services if s.name in restart],
        "environment": {s.name: s.environment for s in declared.services if s.name in restart},
        "stay": {server.name: list(server.preload) for server in declared.servers if server.name in restart},
        "remove": gone,
        "version": declared.version,
    }
