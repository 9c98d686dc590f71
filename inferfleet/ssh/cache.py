"""Answers of facts, used again for as long as a run has changed nothing.

The rule, and why it cannot serve an answer that the run itself made old:

- Until the first command of an operation is executed, on any host of the run, nothing of ours has changed
  any host. So answers to facts hold, and are kept. At that first command the caches of the whole run close,
  for good: a service that was started goes on changing its host after the command that started it, and a
  command on one host may change another (a gateway, an API), so from then on no answer can be proved fresh.
- "Executed" is `execute` of pyinfra's command classes: the one way from an operation to a host, whatever
  connector that host has, Python callbacks included. What deploy code sends to a host by itself closes too.
- A fact is what `pyinfra.api.facts._get_fact` sends, and nothing else is; seen from the calling frame.
  Were pyinfra to change there, facts would count as commands: slower, never staler.

What other people do to a host meanwhile is seen later than without a cache: by `_KEPT_S` at most, and by
`_POLL_S` when the same operation asks the same thing again, which is how code waits for something.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from time import monotonic
from types import FrameType
from typing import Any
from weakref import WeakSet

from pyinfra.api import facts
from pyinfra.api.command import FileDownloadCommand, FileUploadCommand, FunctionCommand, RsyncCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors import util
from pyinfra.connectors.util import OutputLine

_KEPT_S = 60.0  # from preparing to executing: the time the user looks at the plan counts too
_POLL_S = 0.5
_COMMANDS = (StringCommand, FileUploadCommand, FileDownloadCommand, FunctionCommand, RsyncCommand)

_closed: "WeakSet[State]" = WeakSet()
_watched: set[type] = set()


def watch_executions() -> None:
    """From now on the first command that any operation executes closes the caches of its run. Idempotent."""
    for kind in _COMMANDS:
        if kind not in _watched:
            _watched.add(kind)
            kind.execute = _closing(kind.execute)  # type: ignore[method-assign]  # pyinfra 3.10 has no callback here


def _closing(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def closing_execute(self: Any, state: State, host: Host, *args: Any, **kwargs: Any) -> Any:
        close_caches(host.state)  # `state` is a stand-in for the current one in the `pyinfra` command
        return execute(self, state, host, *args, **kwargs)

    return closing_execute


def close_caches(state: State) -> None:
    """Ends the use of kept answers on every host of this run."""
    _closed.add(state)


def asked_by_fact(caller: FrameType | None) -> bool:
    """Whether `caller` of `Host.run_shell_command` is pyinfra loading a fact."""
    return caller is not None and caller.f_code is facts._get_fact.__code__


def asked_by_askpass(caller: FrameType | None) -> bool:
    """Whether it is pyinfra writing or removing its own askpass script, which changes nothing that is declared."""
    own = (util._ensure_askpass_set_for_host.__code__, util.remove_any_sudo_askpass_file.__code__)
    return caller is not None and caller.f_code in own


@dataclass
class _Kept:
    code: int
    lines: list[OutputLine]
    at: float = field(default_factory=monotonic)
    askers: set[object] = field(default_factory=set)


class FactCache:
    """The kept answers of one host.

    Args:
        state: the run.
        host: who is asked; its current operation tells one asker from another.
    """

    def __init__(self, state: State, host: Host) -> None:
        self._state = state
        self._host = host
        self._kept: dict[str, _Kept] = {}

    def get(self, command: str) -> tuple[int, list[OutputLine]] | None:
        """The exit code and output that `command` had, when they still hold."""
        if self._state in _closed:
            self._kept.clear()
        kept = self._kept.get(command)
        if kept is None:
            return None
        asker = self._asker()
        if monotonic() - kept.at > (_POLL_S if asker in kept.askers else _KEPT_S):
            return None
        kept.askers.add(asker)
        return kept.code, kept.lines

    def put(self, command: str, code: int, lines: list[OutputLine]) -> None:
        """Keeps an answer; a failed one is not kept, nor one that came after the first execution."""
        if code == 0 and self._state not in _closed:
            self._kept[command] = _Kept(code, lines, askers={self._asker()})

    def clear(self) -> None:
        """Forgets everything, as after a new connection."""
        self._kept.clear()

    def _asker(self) -> object:
        return self._state.is_executing, self._host.current_op_hash
