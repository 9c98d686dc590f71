"""Commands that change a host: one run at a time, and their lines are shown as they come."""

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput


class LiveCommand(StringCommand):
    """A shell command that shows what it says while it runs, without `-v` too."""

    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> tuple[bool, CommandOutput]:
        """Run it; of a failed one nothing is given back, since pyinfra would print it a second time."""
        connector_arguments.update(self.connector_arguments)
        done, output = host.run_shell_command(
            self, print_output=True, print_input=state.print_input, **connector_arguments
        )
        return done, output if done or state.print_output else CommandOutput([])


def alone(*bits: str | QuoteString) -> LiveCommand:
    """The command, once no other run of ours is at work on the host.

    A killed run leaves its last command running there: the next one waits for it (flock, util-linux 2.36).
    """
    busy = "another run has been at work on this host for 15 minutes; wait for it, or end it"
    lock = "flock -o -w 900 -E 75 /run/inferfleet.lock"
    return LiveCommand(lock, *bits, f"|| {{ code=$?; [ $code -ne 75 ] || echo '{busy}' >&2; exit $code; }}")
