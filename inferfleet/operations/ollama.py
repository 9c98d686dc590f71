"""A host's Ollama: account, release, services, models. All four share one question to the host."""

from collections.abc import Callable
from typing import Any

from pyinfra.api import QuoteString, StringCommand
from pyinfra.context import host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.facts.ollama import OllamaState
from inferfleet.operations.effects import converging, refusals
from inferfleet.operations.live import LiveCommand
from inferfleet.remote import compact, script

# A killed run leaves its last command running on the host: the next one waits for it (flock, util-linux 2.36).
_BUSY = 75  # flock's exit status when it gave up: EX_TEMPFAIL, which no script of ours ends with
_ALONE = f"flock -o -w 900 -E {_BUSY} /run/inferfleet.lock"
_NOT_ALONE = (
    f"|| {{ rc=$?; [ $rc -ne {_BUSY} ] || "
    "echo 'another run has been working on this host for 15 minutes (/run/inferfleet.lock); run again later' >&2; "
    "exit $rc; }"
)

Decision = tuple[Changes, list[StringCommand]]


def _decide(compare: Callable[[OllamaHost, dict[str, Any]], Changes], declared: OllamaHost, tool: str) -> Decision:
    found = compare(declared, host.get_fact(OllamaState, compact(declared.question)))
    if not found.effects:
        return found, []
    if refused := refusals(found):
        return found, refused
    return found, [alone(script(tool), compact(found.work))]


def alone(text: str, told: str) -> LiveCommand:
    """A command that runs a Python script while no other one of ours works on the host."""
    return LiveCommand(_ALONE, "python3 -c", QuoteString(text), QuoteString(told), _NOT_ALONE)


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
