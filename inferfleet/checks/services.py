"""Checks of the instances: running, started as declared, version, address."""

from inferfleet.checks.base import Target
from inferfleet.engines import ollama
from inferfleet.engines.ollama_host import OllamaHost, Server, Service

_ANYWHERE = {"0.0.0.0", "*", "[::]", "::"}


def is_running(service: Service, target: Target) -> str:
    """The unit is active now and enabled at boot."""
    unit = target.report["units"][service.name]
    if unit["active"] != "active":
        return f"the unit is {unit['active'] or 'missing'}"
    return "" if unit["enabled"] in ("enabled", "alias") else f"the unit is {unit['enabled'] or 'not enabled'}"


def started_as_declared(service: Service, target: Target) -> str:
    """The running process has the declared environment: not the file, the process."""
    found = target.report["units"][service.name]["environment"]
    if not found:
        return "there is no process"
    for name, value in service.environment.items():
        if found.get(name) != value:
            return f"it has {ollama.different(name, found.get(name), value)}"
    return ""


def has_version(server: Server, version: str, target: Target) -> str:
    """The API says the declared version."""
    found = target.report["version"].get(server.name)
    if found:
        return "" if found == version else f"it answers as {found}"
    port = int(server.address.rpartition(":")[2])
    if any(at == port for _, at in target.listening):
        return f"something listens at {server.address}, and does not answer as Ollama does"
    return f"nothing answers at {server.address}"


def listens_narrowly(host: str, port: int, target: Target) -> str:
    """Something listens on the declared address at that port, and on no other address."""
    found = {address for address, at in target.listening if at == port}
    wanted = _ANYWHERE if host in _ANYWHERE else {host, f"[{host}]"}
    if not found:
        return f"nothing listens on port {port}"
    return f"port {port} is open on {', '.join(sorted(found - wanted))}" if found - wanted else ""


def nothing_else(host: OllamaHost, target: Target) -> str:
    """Nothing carries our mark that is not declared, neither a unit nor a container."""
    services = set(target.report["ours"]) - {service.name for service in host.services}
    extra = services | (set(target.report["containers"]) - set(host.containers))
    return f"{', '.join(sorted(extra))} is ours and not declared" if extra else ""
