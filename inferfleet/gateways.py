"""From a gateway's plan to what its host must be: files, units, the prober's configuration.

Secrets are read on this machine, from their references, at this point and not before.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inferfleet.engines.gateway_host import (
    CERTIFICATE,
    ETC,
    LARGE,
    MAIN,
    RUN,
    STATS,
    USER,
    GatewayHost,
    HostFile,
    ProberHost,
    Process,
)
from inferfleet.gateway import Places, Secrets, gateway_files, read_secrets
from inferfleet.placed import Instance
from inferfleet.plan import GatewayPlan, NodePlan
from inferfleet.plan.gateway import Backend, Upstream
from inferfleet.prober import unit as prober
from inferfleet.prober.pack import zipped
from inferfleet.render import render
from inferfleet.spec import tagged

SPEC = "INFERFLEET_SPEC"
_STATS_SOCKET = f"{RUN}/stats.sock"


def gateway_host(plan: GatewayPlan, nodes: Sequence[NodePlan], base: Path | None = None) -> GatewayHost:
    """What the gateway's host must be.

    Args:
        plan: the gateway.
        nodes: the fleet's hosts, of whose instances the prober must know more.
        base: directory from which references to files count; by default the working directory.

    Raises:
        FleetError: a reference leads nowhere.
        SpecError: one line for each mistake in the file of keys.
    """
    files = _files(plan, read_secrets(plan, base))
    low = any(port < 1024 for _, port in _ports(plan))
    large = _process(LARGE, "large", "Reads large requests for the gateway of inferfleet", "", files, False)
    main = _process(MAIN, "haproxy", "The gateway of inferfleet", LARGE, files, low)
    for process, name in ((large, "large.cfg"), (main, "haproxy.cfg")):
        files[name] = _marked(files[name], process.loaded)
    return GatewayHost(files, (large, main), _prober(plan, nodes), tuple(_ports(plan)))


def _files(plan: GatewayPlan, secrets: Secrets) -> dict[str, HostFile]:
    found = gateway_files(plan, secrets, Places(ETC, RUN))
    # A map that the configuration does not name, as that of providers where there are none, is not in memory either.
    live = {name for name in found if f"{ETC}/{name}" in found["haproxy.cfg"].text}
    return {
        name: HostFile(one.text, one.mode | 0o040, one.secret, one.entries if name in live else None)
        for name, one in found.items()
    }


def _marked(config: HostFile, digest: str) -> HostFile:
    """Its worker says which one it has read (`show env`), so that a run knows what a killed one left undone."""
    return HostFile(config.text.replace("global\n", f"global\n    setenv {SPEC} {digest}\n", 1), config.mode)


def _process(unit: str, name: str, title: str, beside: str, files: Mapping[str, HostFile], low_ports: bool) -> Process:
    config, master = f"{ETC}/{name}.cfg", f"{RUN}/{name}-master.sock"
    values = {
        "title": title, "beside": beside, "config": config, "master": master, "user": USER, "group": STATS,
        "runtime": Path(RUN).name, "low_ports": low_ports,
    }  # fmt: skip
    started_with = _digest(render("systemd/gateway.service.j2", spec="", **values))
    text = render("systemd/gateway.service.j2", spec=started_with, **values)
    # Maps and the certificate are changed while it runs.
    others = (one.text for path, one in sorted(files.items()) if one.entries is None and _is_read_once(path))
    loaded = _digest(files[f"{name}.cfg"].text, *others)
    socket = f"{RUN}/{'admin' if name == 'haproxy' else 'large-admin'}.sock"
    return Process(unit, text, started_with, loaded, config, socket, master)


def _is_read_once(path: str) -> bool:
    return not path.endswith(".cfg") and path != CERTIFICATE


def _ports(plan: GatewayPlan) -> Iterator[tuple[str, int]]:
    settings = plan.settings
    yield settings.listen, settings.port
    if settings.tls and settings.http_port:
        yield settings.listen, settings.http_port
    yield from (("127.0.0.1", port) for port in (settings.metrics_port, settings.prober_port, settings.prober_port + 1))


# --- the prober -------------------------------------------------------------------------------------


def _prober(plan: GatewayPlan, nodes: Sequence[NodePlan]) -> ProberHost:
    program = zipped()
    started_with = _digest(prober.unit(spec=""), hashlib.sha256(program).hexdigest())
    agent, http = (f"127.0.0.1:{plan.settings.prober_port + more}" for more in (0, 1))
    instances = {f"{one.node}/{one.name}": one for node in nodes for one in node.instances}
    config = {
        "agent": agent,
        "http": http,
        "stats": [_STATS_SOCKET],
        "outbox": f"/var/lib/{prober.STATE}/restarts.jsonl",
        "servers": [_server(backend, upstream, instances[upstream.name]) for backend, upstream in _upstreams(plan)],
    }
    text = json.dumps(config, indent=1) + "\n"
    unit = prober.unit(spec=started_with)
    return ProberHost(prober.NAME, unit, started_with, prober.PROGRAM, program, prober.CONFIG, text, http)


def _upstreams(plan: GatewayPlan) -> Iterator[tuple[Backend, Upstream]]:
    return ((backend, upstream) for backend in plan.backends for upstream in backend.upstreams)


def _server(backend: Backend, upstream: Upstream, instance: Instance) -> dict[str, Any]:
    settings = instance.settings
    return {
        "backend": backend.name,
        "server": upstream.server,
        "address": upstream.place,
        "engine": "ollama" if backend.engine == "ollama" else "openai",
        "model": tagged(backend.model),
        "aliases": [tagged(alias) for alias in backend.aliases],
        "slots": upstream.slots,
        "vram": 1.0 if instance.gpus else 0.0,
        "resident": settings.keep_alive == "forever" and settings.max_loaded_models >= len(instance.models),
    }


def _digest(*texts: str) -> str:
    """Of what programs read: another word in a comment starts nothing anew."""
    lines = (line for text in texts for line in text.splitlines() if line and not line.lstrip().startswith("#"))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
