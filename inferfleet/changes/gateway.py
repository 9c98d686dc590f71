"""A gateway's host: packages, account, files, processes, maps in memory, prober.

`state` is the answer of `remote/gateway_state.py`; `{}` is a host without python3, where everything is missing.
"""

from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange
from inferfleet.changes.gateway_files import written
from inferfleet.changes.gateway_packages import brought, refusals
from inferfleet.changes.gateway_units import prober, processes
from inferfleet.engines.gateway_host import CERTIFICATE, ETC, PREVIOUS, STATS, USER, GatewayHost, entries_digest


def gateway(declared: GatewayHost, state: dict[str, Any]) -> Changes:
    """The gateway runs with what is declared; what can be changed while it runs needs no reload."""
    if refused := refusals(declared, state):
        return Changes(tuple(Effect("refuse", "this host", why) for why in refused))
    packages = brought(state)
    files = written(declared, state)
    account = _account(state)
    units, steps = processes(declared, state)
    probes, probe_files, probe_work = prober(declared.prober, state)
    maps, live = _maps(declared, state, steps)
    renewed, certificate = _certificate(declared, state, steps)
    effects = (*packages.effects, *account, *files.effects, *maps, *renewed, *units, *probes)
    unit_texts = {path: text for _, path, text in declared.unit_files}
    work = {
        "packages": packages.work,
        "user": USER,
        "group": STATS,
        "etc": ETC,
        "previous": PREVIOUS,
        **files.work,
        "certificate": certificate,
        "units": unit_texts,
        "enable": list(declared.units),
        "processes": steps,
        "maps": live,
        "prober": probe_work,
    }
    return Changes(effects, work, (*files.files, *_unit_files(declared, state), *probe_files))


def _account(state: dict[str, Any]) -> list[Effect]:
    found = state.get("account", {})
    wanted = (("user", USER), ("group", STATS))
    return [Effect("create", f"{kind} {name}", "is missing") for kind, name in wanted if not found.get(kind)]


def _maps(
    declared: GatewayHost, state: dict[str, Any], steps: list[dict[str, Any]]
) -> tuple[list[Effect], dict[str, dict[str, str]]]:
    """Maps that the running process has otherwise; what is started or reloaded reads the files."""
    main = steps[-1]
    there = state.get("haproxy", {}).get(main["unit"], {}).get("maps", {})
    if main["how"]:
        return [], {}
    differ = [path for path, entries in declared.live.items() if there.get(path) != entries_digest(entries)]
    on_disk = [path for path in differ if _is_as_declared(declared, state, path)]
    effects = [Effect("repair", path, "the gateway has another in memory (no reload)") for path in on_disk]
    return effects, {path: dict(declared.live[path]) for path in differ}


def _certificate(
    declared: GatewayHost, state: dict[str, Any], steps: list[dict[str, Any]]
) -> tuple[list[Effect], str | None]:
    """Its path, where the running process has another one and is not told to read all anew."""
    main, path = steps[-1], f"{ETC}/{CERTIFICATE}"
    there = state.get("haproxy", {}).get(main["unit"], {}).get("certificate", "")
    if main["how"] or there == declared.certificate_sha1:
        return [], None
    on_disk = _is_as_declared(declared, state, path)
    why = "the gateway has another in memory (no reload)"
    return ([Effect("repair", path, why)] if on_disk else []), path


def _is_as_declared(declared: GatewayHost, state: dict[str, Any], path: str) -> bool:
    found = state.get("files", {}).get(path, {})
    return bool(found.get("sha256") == declared.files[path.removeprefix(f"{ETC}/")].sha256)


def _unit_files(declared: GatewayHost, state: dict[str, Any]) -> list[FileChange]:
    found = state.get("units", {})
    files = ((path, found.get(unit, {}).get("text"), text) for unit, path, text in declared.unit_files)
    return [FileChange(*one) for one in files if one[1] != one[2]]
