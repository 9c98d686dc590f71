"""Checks of a gateway: it runs, shows a certificate that holds, lets in whom it should, and gives tokens."""

import base64
import datetime
from collections.abc import Iterator
from functools import partial

from cryptography import x509

from inferfleet.checks.base import Check, Target
from inferfleet.checks.services import listens_narrowly
from inferfleet.engines.gateway_host import ETC, LARGE, MAIN, RUN
from inferfleet.errors import FleetError
from inferfleet.gateway import resolve
from inferfleet.gateway.certificates import names_in
from inferfleet.gateway.maps import maps
from inferfleet.plan import GatewayPlan
from inferfleet.plan.gateway import Upstream
from inferfleet.prober import unit as prober
from inferfleet.spec import parse_keys

CLOSED = ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/show", "/metrics", "/debug/pprof")
UNITS = (MAIN, LARGE, prober.NAME)
LEAST_DAYS = 14


def question(plan: GatewayPlan) -> dict[str, object]:
    """What `remote/gateway_ask.py` is asked with."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return {
        "etc": ETC,
        "socket": f"{RUN}/admin.sock",
        "address": anywhere.get(plan.settings.listen, plan.settings.listen),
        "port": plan.settings.port,
        "tls": plan.settings.tls,
        "models": [backend.model for backend in plan.backends],
        "closed": list(CLOSED),
        "units": list(UNITS),
    }


def of_gateway(plan: GatewayPlan) -> Iterator[Check]:
    """Every sentence about one gateway."""
    settings = plan.settings
    says = partial(Check, plan.node)
    yield says("the gateway and its prober are running and enabled", are_running)
    where = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    for port in (settings.port, *([settings.http_port] if settings.tls and settings.http_port else [])):
        listens = partial(listens_narrowly, settings.listen, port)
        yield says(f"the gateway listens on {where}:{port} and nothing wider", listens)
    if settings.tls:
        yield says(f"the gateway's certificate holds for {LEAST_DAYS} days more", partial(certificate_holds, plan))
    yield says("the gateway's administrator's socket is its own alone", socket_is_closed)
    yield says("the gateway answers nobody without a key", refuses_strangers)
    yield says("the gateway has no path that changes an engine", closed_paths)
    yield says("the gateway shows each key the models that it may ask", partial(lists_per_key, plan))
    for backend in plan.backends:
        for upstream in backend.upstreams:
            takes = partial(takes_for_well, backend.name, upstream)
            yield says(f"the gateway takes {upstream.name} with {backend.model} for well", takes)
        gives = partial(gives_tokens, backend.model)
        yield says(f"the gateway gives tokens of {backend.model}, whole and as a stream", gives)


def are_running(target: Target) -> str:
    """All its units are active, and start at boot."""
    for name, (active, enabled) in target.gateway["units"].items():
        if active != "active":
            return f"{name} is {active or 'missing'}"
        if enabled != "enabled":
            return f"{name} is {enabled or 'not enabled'}"
    return ""


def certificate_holds(plan: GatewayPlan, target: Target) -> str:
    """It is for the declared names, and does not end soon."""
    if error := _error(target):
        return error
    shown = x509.load_der_x509_certificate(base64.b64decode(target.gateway["certificate"]))
    ends = shown.not_valid_after_utc
    if ends < datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=LEAST_DAYS):
        return f"it ends on {ends.date()}"
    missing = [name for name in plan.settings.names if name not in names_in(shown)]
    return f"it is not for {missing[0]}" if missing and not plan.settings.certificate else ""


def socket_is_closed(target: Target) -> str:
    """Only its owner may open it."""
    if error := _error(target):
        return error
    mode = target.gateway["socket"]
    return "" if mode == "600" else f"its mode is {mode}"


def refuses_strangers(target: Target) -> str:
    """Without a key there is a 401."""
    if error := _error(target):
        return error
    status = target.gateway["without_key"]
    return "" if status == 401 else f"it answers {status}"


def closed_paths(target: Target) -> str:
    """They are 404, with a key too."""
    if error := _error(target):
        return error
    found = {path: status for path, status in target.gateway["closed"].items() if status != 404}
    return "; ".join(f"{path} answers {status}" for path, status in found.items())


def lists_per_key(plan: GatewayPlan, target: Target) -> str:
    """The keys that the running gateway knows are those of the file, and `/v1/models` shows each what it may ask."""
    if error := _error(target):
        return error
    try:
        text = resolve(plan.settings.keys, "gateway.keys")
        declared = {key.id: key for key in parse_keys(text, plan.settings.keys, plan.offered)}
    except FleetError as wrong:
        return str(wrong)
    known, listed = target.gateway["keys"], target.gateway["listed"]
    if differ := sorted(set(known) ^ set(declared)):
        return f"{differ[0]} is {'not known to it' if differ[0] in declared else 'known to it and not declared'}"
    for name, key in declared.items():
        wanted = [model for model in plan.offered if "*" in key.models or model in key.models]
        shown = listed.get(maps(plan, [key], {})["sets"][name], [])
        if sorted(shown) != sorted(wanted):
            return f"{name} is shown {', '.join(shown) or 'nothing'}, and may ask {', '.join(wanted) or 'nothing'}"
    return ""


def takes_for_well(backend: str, upstream: Upstream, target: Target) -> str:
    """HAProxy sends requests there: it is up, and the prober has had tokens of it."""
    if error := _error(target):
        return error
    state = target.gateway["servers"].get(f"{backend}/{upstream.server}", "unknown to it")
    return "" if state == "UP" else f"it is {state}"


def gives_tokens(model: str, target: Target) -> str:
    """A question with a key is answered with a token, and a stream comes to its end."""
    return _error(target) or str(target.gateway["tokens"][model])


def _error(target: Target) -> str:
    return str(target.gateway.get("error", ""))
