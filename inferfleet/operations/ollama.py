"""A host's Ollama: account, release, services, models. All four share one question to the host."""

from collections.abc import Callable
from typing import Any

from pyinfra.api import QuoteString, StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes, Effect
from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.facts.ollama import OllamaState
from inferfleet.operations.effects import converging, refusals
from inferfleet.operations.live import alone
from inferfleet.remote import compact, script

_NOT_ROOT = "pyinfra is not root there; set _sudo = True in the inventory"
Decision = tuple[Changes, list[StringCommand]]


def _refused(why: str) -> Changes:
    return Changes((Effect("refuse", "this host", why),))


def _decide(compare: Callable[[OllamaHost, dict[str, Any]], Changes], declared: OllamaHost, tool: str) -> Decision:
    state = host.get_fact(OllamaState, compact(declared.question))
    try:
        found = compare(declared, state) if state.get("root", True) else _refused(_NOT_ROOT)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # Raising here would stop all hosts (pyinfra 3.10); an answer of a shape nobody thought of is one host's matter.
        found = _refused(f"its answer cannot be understood ({type(error).__name__}: {error}); please report this")
    if not found.effects:
        return found, []
    if refused := refusals(found):
        return found, refused
    return found, [alone("python3 -c", QuoteString(script(tool)), QuoteString(compact(found.work)))]


@converging
def account(declared: OllamaHost) -> Decision:
    """The user `ollama` exists and owns its home and the store."""
    return _decide(changes.account, declared, "ollama_account")


@converging
def release(declared: OllamaHost) -> Decision:
    """The declared release is unpacked, checked and live; the one before it is kept."""
    return _decide(changes.release, declared, "ollama_release")


@converging
def services(declared: OllamaHost) -> Decision:
    """Every instance runs as declared and is enabled; only an instance that differs is restarted."""
    return _decide(changes.services, declared, "ollama_services")


@converging
def models(declared: OllamaHost) -> Decision:
    """Every declared model is in the store and in memory; what we brought and is declared no longer is gone."""
    return _decide(changes.models, declared, "ollama_models")
