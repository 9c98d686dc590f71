"""Commands that change a host: one run at a time, and their lines are shown as they come."""

import shlex
from collections.abc import Mapping
from typing import Any, Unpack

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from inferfleet.remote import compact, script

# The script finds its work where it finds its question when it is asked: in its argument.
_FROM_STDIN = "import sys; sys.argv.append(sys.stdin.read()); exec(compile(sys.argv.pop(1), 'inferfleet', 'exec'))"


class LiveCommand(StringCommand):
    """A shell command that shows what it says while it runs, without `-v` too."""

    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> tuple[bool, CommandOutput]:
        """Run it; of a failed one nothing is given back, since pyinfra would print it a second time."""
        connector_arguments.update(self.connector_arguments)
        done, output = host.run_shell_command(
            self, print_output=True, print_input=state.print_input, **connector_arguments
        )
        return done, output if done or state.print_output else CommandOutput([])


# After a wait the caller may be gone (Ctrl-C): writing twice to nobody ends the shell before it does any harm.
_STILL_WANTED = "echo 'the other run has ended'; sleep 0.5; echo 'going on'; sleep 0.1; exec \"$@\""
# The lock can be taken by whoever may read it, so root alone may.
_ALONE = f"""set -- {{}}; (umask 077; : >>/run/inferfleet.lock); flock -n -o -E 75 /run/inferfleet.lock "$@"; code=$?
if [ $code -eq 75 ]; then
    echo 'waiting for another run on this host'
    flock -w 900 -o -E 75 /run/inferfleet.lock sh -c {shlex.quote(_STILL_WANTED)} sh "$@"; code=$?
    [ $code -ne 75 ] || echo 'another run has been at work on this host for 15 minutes; wait for it, or end it' >&2
fi
exit $code"""


def alone(*bits: str | QuoteString, **arguments: Unpack[ConnectorArguments]) -> LiveCommand:
    """The command, once no other run of ours is at work on the host, and if its caller is still there by then.

    A killed run leaves its last command running there: the next one waits for it (flock, util-linux 2.36).
    """
    before, after = _ALONE.split("{}")
    return LiveCommand(before, *bits, after, _separator=" ", **arguments)


def told(tool: str, work: Mapping[str, Any]) -> LiveCommand:
    """A script of `inferfleet.remote` at its work, alone.

    The work has passwords of proxies, the user's variables, other people's daemon.json: it goes in on stdin, since
    every user of a host may read what stands on command lines, and pyinfra shows them with `-vv`.
    """
    return alone("python3 -c", QuoteString(_FROM_STDIN), QuoteString(script(tool)), _stdin=compact(work))
