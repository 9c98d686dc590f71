"""NVIDIA's Container Toolkit on a host."""

from weakref import WeakKeyDictionary

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.state import State
from pyinfra.context import ctx_state, host

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.toolkit_host import ToolkitHost
from inferfleet.facts.toolkit import ToolkitState
from inferfleet.operations.effects import converging, decided
from inferfleet.operations.live import alone
from inferfleet.remote import compact, script

_warned: WeakKeyDictionary[State, set[tuple[str, str]]] = WeakKeyDictionary()


@converging
def present(declared: ToolkitHost) -> tuple[Changes, list[StringCommand]]:
    """The four packages are at the declared version and held, and Docker can give containers the cards that are there.

    The CDI specification is written anew where it differs from what `nvidia-ctk` says now: after a card, its slices
    (MIG) or the driver changed.
    """
    if not declared.devices:
        return Changes(), []
    state = host.get_fact(ToolkitState, compact(declared.question))

    def work(found: Changes) -> list[StringCommand]:
        return [alone("python3 -c", QuoteString(script("nvidia_toolkit")), QuoteString(compact(found.work)))]

    _warn(changes.toolkit_warnings(state))
    return decided(lambda: changes.toolkit(declared, state), state, work)


def _warn(lines: tuple[str, ...]) -> None:
    """Say each once in a run, while preparing or, with `-y`, just before anything is done."""
    said = _warned.setdefault(ctx_state.get(), set())
    for line in lines:
        if (host.name, line) not in said:
            said.add((host.name, line))
            host.log(f"warning: {line}")
