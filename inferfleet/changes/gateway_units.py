"""A gateway's units: what is started, started anew, or told to read its files again."""

import base64
import hashlib
from typing import Any

from inferfleet.changes.base import Effect, FileChange
from inferfleet.engines.gateway_host import GatewayHost, ProberHost, Process


def processes(declared: GatewayHost, state: dict[str, Any]) -> tuple[list[Effect], list[dict[str, Any]]]:
    """Effects, and for each process how it is brought about: `start`, `restart`, `reload`, or None."""
    effects: list[Effect] = []
    steps = []
    for one in declared.processes:
        unit = state.get("units", {}).get(one.unit, {})
        effects += _unit_effects(one.unit, one.text, unit)
        how, why = _process(one, unit, state)
        if how:
            effects.append(Effect(how, one.unit, why, interrupts=how == "restart"))  # type: ignore[arg-type]
        steps.append(
            {"unit": one.unit, "how": how, "config": one.config, "socket": one.socket, "master": one.master,
             "loaded": one.loaded}
        )  # fmt: skip
    return effects, steps


def _unit_effects(name: str, text: str, unit: dict[str, Any]) -> list[Effect]:
    found = unit.get("text")
    effects = []
    if found != text:
        why = "is missing" if found is None else "is not as declared"
        effects.append(Effect("write", f"/etc/systemd/system/{name}", why))
    elif unit.get("stale"):
        effects.append(Effect("repair", name, "systemd has not read its file since it changed"))
    if unit.get("enabled") == "masked":
        effects.append(Effect("repair", name, "is masked"))
    elif unit.get("enabled") != "enabled":
        effects.append(Effect("enable", name, "does not start at boot"))
    return effects


def _process(one: Process, unit: dict[str, Any], state: dict[str, Any]) -> tuple[str | None, str]:
    running = state.get("haproxy", {}).get(one.unit, {})
    if unit.get("active") != "active":
        return "start", f"is {unit.get('active') or 'missing'}"
    if unit["started_with"] != one.started_with:
        return "restart", "was started with other settings of its unit"
    if not running.get("loaded"):
        return "restart", "does not answer on its socket"
    if running["loaded"] != one.loaded:
        return "reload", "runs with another configuration (streams end on the process that began them)"
    if state.get("version") and running["version"] != state["version"]:
        return "reload", f"is HAProxy {running['version']}, installed is {state['version']}"
    return None, ""


def prober(declared: ProberHost, state: dict[str, Any]) -> tuple[list[Effect], list[FileChange], dict[str, Any]]:
    """Effects, differences, and the work: a change of its configuration alone is a SIGHUP."""
    unit = state.get("units", {}).get(declared.unit, {})
    found = state.get("prober", {"there": {}, "running": {}, "text": None})
    program = hashlib.sha256(declared.program_zip).hexdigest()
    config = hashlib.sha256(declared.config_text.encode()).hexdigest()
    effects = _unit_effects(declared.unit, declared.text, unit)
    files = []
    if found["there"].get("program") != program:
        effects.append(Effect("write", declared.program, "is missing or of another version"))
    if found["there"].get("config") != config:
        effects.append(
            Effect("write", declared.config, "is missing" if found["text"] is None else "is not as declared")
        )
        files.append(FileChange(declared.config, found["text"], declared.config_text))
    how, why = None, ""
    running = found["running"]
    if unit.get("active") != "active":
        how, why = "start", f"is {unit.get('active') or 'missing'}"
    elif unit["started_with"] != declared.started_with or running.get("program") != program:
        how, why = "restart", "runs another version, or does not answer"
    elif running.get("config") != config:
        how, why = "reload", "runs with another configuration"
    if how:
        effects.append(Effect(how, declared.unit, why))  # type: ignore[arg-type]
    work = {
        "unit": declared.unit, "how": how, "status": declared.status, "program": declared.program,
        "zip": base64.b64encode(declared.program_zip).decode(), "config": declared.config,
        "text": declared.config_text, "sha256": config,
    }  # fmt: skip
    return effects, files, work
