"""Operations that say what they will do before they do it.

`converging` makes a pyinfra operation from a function that compares and gives `Changes`. No operation here is made
otherwise, and each acts only when there are effects: what is done is always announced, and a plan can be made from it.
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from functools import wraps
from typing import Any, ParamSpec, cast
from weakref import WeakKeyDictionary

from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state
from pyinfra.operations.util.files import generate_color_diff

from inferfleet.changes import Changes, Effect

P = ParamSpec("P")
Decide = Callable[P, tuple[Changes, list[StringCommand]]]
Announced = dict[tuple[str, str], tuple[Effect, ...]]

_NOT_ROOT = "pyinfra is not root there; set _sudo = True in the inventory"
_announced: WeakKeyDictionary[State, Announced] = WeakKeyDictionary()
# Run -> host name -> the operation that refused the host while preparing.
_refusing: WeakKeyDictionary[State, dict[str, str]] = WeakKeyDictionary()
_warned: WeakKeyDictionary[State, set[tuple[str, str]]] = WeakKeyDictionary()


def converging(decide: Decide[P]) -> Callable[P, Any]:
    """An operation from a decision: no effects, nothing done; effects, and the commands that bring them about.

    Raises:
        ValueError: while preparing, when a decision has commands without effects or effects without commands.
    """

    @wraps(decide)
    def act(*args: P.args, **kwargs: P.kwargs) -> Generator[StringCommand, None, None]:
        host, state = ctx_host.get(), ctx_state.get()
        if _was_refused(state, host):
            host.noop("the host is refused")
            return
        changes, commands = decide(*args, **kwargs)
        if bool(changes.effects) != bool(commands):
            raise ValueError(f"{decide.__name__}: effects and commands must come together")
        _warn(state, host, changes)
        if not commands:
            host.noop("as declared")
            return
        _announce(state, host, changes)
        if any(effect.kind == "refuse" for effect in changes.effects):
            _note_refusal(state, host)
        yield from commands

    made = operation()(act)
    made.decides = inspect.unwrap(decide)  # type: ignore[attr-defined]
    return cast(Callable[P, Any], made)


def refusals(changes: Changes) -> list[StringCommand]:
    """Commands that fail this host alone with the reasons for which it is refused; none where it is not."""
    lines = [f"{ctx_host.get().name}: {effect.why}" for effect in changes.effects if effect.kind == "refuse"]
    return [StringCommand("echo", QuoteString(line), ">&2; exit 1") for line in lines]


def decided(
    compare: Callable[[], Changes], state: Mapping[str, Any], work: Callable[[Changes], list[StringCommand]]
) -> tuple[Changes, list[StringCommand]]:
    """A decision, with the work that brings it about; a host that cannot be judged is refused alone.

    Args:
        compare: gives the changes.
        state: the host's answer; its `root` says whether it was asked as root.
        work: gives the commands, where there is something to do.
    """
    try:
        found = compare() if state.get("root", True) else _refused(_NOT_ROOT)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # Raising here would stop all hosts (pyinfra 3.10); an answer of a shape nobody thought of is one host's matter.
        found = _refused(f"its answer cannot be understood ({type(error).__name__}: {error}); please report this")
    if not found.effects:
        return found, []
    return found, refusals(found) or work(found)


def _refused(why: str) -> Changes:
    return Changes((Effect("refuse", "this host", why),))


def effects(state: State) -> Announced:
    """What every prepared operation announced: (host name, operation hash) -> effects."""
    return _announced.get(state, {})


def _note_refusal(state: State, host: Host) -> None:
    """From a refused host no dry run promises more, and it exits with 1 as the run itself would."""
    if not state.is_executing:
        _refusing.setdefault(state, {})[host.name] = host.current_op_hash or ""
        state.failed_hosts.add(host)


def _was_refused(state: State, host: Host) -> bool:
    """Whether an operation before refused the host while preparing. The run itself judges anew, and fails by itself."""
    refusing = _refusing.get(state, {})
    if not state.is_executing:
        return refusing.get(host.name, host.current_op_hash or "") != (host.current_op_hash or "")
    if refusing.pop(host.name, None) is not None:
        state.failed_hosts.discard(host)
    return False


def _warn(state: State, host: Host, changes: Changes) -> None:
    """Say each warning once in a run; it makes nothing changed."""
    said = _warned.setdefault(state, set())
    for text in changes.warnings:
        if (host.name, text) not in said:
            said.add((host.name, text))
            host.log_styled(f"warning: {text}", fg="yellow")


def _announce(state: State, host: Host, changes: Changes) -> None:
    """Say it once: while preparing, or with `-y`, which does not prepare, just before it is done."""
    announced, key = _announced.setdefault(state, {}), (host.name, host.current_op_hash or "")
    if announced.get(key) == changes.effects:
        return
    announced[key] = changes.effects
    for effect in changes.effects:
        host.log(f"will {effect}")
    if state.config.DIFF:
        for change in changes.files:
            host.log(f"--- {change.path}" if change.before is not None else f"+++ {change.path} (new)")
            before, after = ((text or "").splitlines(keepends=True) for text in (change.before, change.after))
            for line in generate_color_diff(before, after):
                host.log(line.rstrip("\n"))
