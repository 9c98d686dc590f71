"""The two configurations of HAProxy, from a gateway's plan."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferfleet.gateway.answers import OWN
from inferfleet.plan import GatewayPlan
from inferfleet.plan.gateway import Backend, Chain, Tier
from inferfleet.render import render
from inferfleet.spec import Provider
from inferfleet.spec.duration import milliseconds

# Retrying a whole request costs in proportion to the buffer on every request (HAProxy 3.0.11: 58 us at 128 KiB, 540 us
# at 1 MiB, 13 ms at 8 MiB), so text has small buffers, and larger bodies go through a process of their own.
BUFSIZE = 128 * 1024
TEXT_MAX = 96 * 1024
# So many engines of a model may die at once without a request being lost. More would be worse for those that are only
# slow: what timed out is asked again.
_RETRIES = 2
# What large bodies may take of the host's memory at once, one buffer for each direction.
_LARGE_MEMORY = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Hop:
    """A socket between a chain and what answers in it.

    Attributes:
        name: of the frontend and its socket; short, as a socket's path may have 107 characters.
        title: what it stands for.
        backend: where it leads.
        tier: what the response's header says; empty for the rest of a chain.
        rename: the model's name there, where it is another; else empty.
        takeover: whether it stands in for another.
    """

    name: str
    title: str
    backend: str
    tier: str
    rename: str
    takeover: bool


@dataclass(frozen=True)
class LinkServer:
    """One of the two that a link tries in order; `errors` in a row leave it out for `pause` ms (0: never)."""

    name: str
    at_once: int
    errors: int
    pause: int


@dataclass(frozen=True)
class Link:
    """A backend that tries one tier, then the rest of the chain.

    HAProxy avoids only the server that failed last, so with three in one backend the first would be tried again.
    """

    name: str
    servers: tuple[LinkServer, ...]


def configs(plan: GatewayPlan, etc: str, run: str) -> dict[str, str]:
    """`haproxy.cfg` and `large.cfg`; no secret is in either.

    Args:
        plan: what the gateway is.
        etc: directory of its files.
        run: directory of its sockets, which only its user may enter.
    """
    values = _values(plan, etc, run)
    return {name: render(f"gateway/{name}.j2", **values) for name in ("haproxy.cfg", "large.cfg")}


def _values(plan: GatewayPlan, etc: str, run: str) -> dict[str, Any]:
    settings = plan.settings
    hops, links = _chains(plan)
    large_bufsize = settings.max_body_bytes + BUFSIZE
    connections = settings.connections
    return {
        "etc": etc,
        "run": run,
        "listen": f"[{settings.listen}]" if ":" in settings.listen else settings.listen,
        "port": settings.port,
        "http_port": settings.http_port if settings.tls else None,
        "tls": settings.tls,
        "metrics_port": settings.metrics_port,
        "prober_port": settings.prober_port,
        "connections": connections,
        # A request of a chain is a client's connection, and one for each socket on its way.
        "all_connections": connections * (2 + 2 * max((len(chain.tiers) for chain in plan.chains), default=0)) + 100,
        "bufsize": BUFSIZE,
        "text_max": TEXT_MAX,
        "max_body": settings.max_body_bytes,
        "large_bufsize": large_bufsize,
        "large_at_once": max(8, _LARGE_MEMORY // (2 * large_bufsize)),
        "queue": settings.queue,
        "queue_timeout": milliseconds(settings.queue_timeout),
        "share": math.ceil(settings.queue * settings.key_share),
        "first_token": milliseconds(settings.first_token),
        "answer_ms": milliseconds(settings.answer),
        "longest": _longest(plan),
        "retries": _RETRIES,
        "version": plan.version,
        "own": OWN,
        "backends": [_backend(backend, settings.takeover) for backend in plan.backends],
        "hops": hops,
        "links": links,
        "providers": [_provider(name, spec, etc) for name, spec in plan.providers.items()],
    }


def _longest(plan: GatewayPlan) -> int:
    """What a request may take at most until its answer's first byte, whoever answers: each tier bounds itself."""
    settings = plan.settings
    own = max(milliseconds(settings.first_token), milliseconds(settings.answer))
    others = [milliseconds(one.answer) + milliseconds(one.first_token) for one in plan.providers.values()]
    return (1 + _RETRIES) * own + milliseconds(settings.queue_timeout) + sum(others) + 10_000


def _backend(backend: Backend, takeover: float) -> dict[str, Any]:
    return {
        "name": backend.name,
        "slots": backend.slots,
        "takeover": max(1, math.floor(backend.slots * takeover)),
        "upstreams": backend.upstreams,
    }


def _chains(plan: GatewayPlan) -> tuple[list[Hop], list[Link]]:
    hops: list[Hop] = []
    links: list[Link] = []
    for number, chain in enumerate(plan.chains):
        count = len(chain.tiers)
        for position, tier in enumerate(chain.tiers):
            hops.append(_hop(chain, number, position, tier))
            first = _server(plan, hops[-1].name, tier, is_last=position == count - 1)
            name = chain.backend if position == 0 else f"{chain.backend}.{position}"
            if position == count - 1:
                if position == 0:
                    links.append(Link(name, (first,)))
                continue
            if position == count - 2:
                rest = _server(plan, f"t{number}_{position + 1}", chain.tiers[-1], is_last=True)
            else:
                below = f"{chain.backend}.{position + 1}"
                title = f"the rest of {chain.name} after {tier.name}"
                hops.append(Hop(f"r{number}_{position}", title, below, "", "", False))
                rest = LinkServer(hops[-1].name, plan.settings.connections, 0, 0)
            links.append(Link(name, (first, rest)))
    return hops, links


def _hop(chain: Chain, number: int, position: int, tier: Tier) -> Hop:
    backend = tier.backend or f"x_{tier.provider}"
    rename = tier.model if tier.renames else ""
    takeover = position > 0 and tier.provider is None
    return Hop(f"t{number}_{position}", f"{chain.name}: {tier.name}", backend, tier.name, rename, takeover)


def _server(plan: GatewayPlan, name: str, tier: Tier, is_last: bool) -> LinkServer:
    if tier.provider is None:
        return LinkServer(name, plan.settings.connections, 0, 0)
    spec = plan.providers[tier.provider]
    # Who is last is never left out: there is nobody else.
    return LinkServer(name, spec.parallel, 0 if is_last else spec.errors, milliseconds(spec.pause))


def _provider(name: str, spec: Provider, etc: str) -> Mapping[str, Any]:
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    authority = f"{etc}/tls/{name}.ca.pem" if spec.ca else "@system-ca"
    # The name in `sni` is the one that TLS verifies; `verifyhost` alone is not.
    tls = f" ssl verify required ca-file {authority} sni str({host}) verifyhost {host} alpn http/1.1"
    return {
        "name": name,
        "host": host,
        "port": spec.port,
        "place": f"{host}:{spec.port}",
        "base": spec.base,
        "parallel": spec.parallel,
        "first_token": milliseconds(spec.first_token),
        "answer": milliseconds(spec.answer),
        "tls": tls if spec.has_tls else "",
        "resolves": not spec.is_local,
    }
