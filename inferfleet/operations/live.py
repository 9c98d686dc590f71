"""Commands whose lines are shown as they come: a pull of 40 GB is no silent minute."""

from pyinfra.api import StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

# A killed run leaves its last command running on the host: the next one waits for it (flock, util-linux 2.36).
ALONE = "flock -o -w 900 /run/inferfleet.lock"


class LiveCommand(StringCommand):
    """A shell command that shows what it says while it runs, without `-v` too."""

    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> tuple[bool, CommandOutput]:
        """Run it; of a failed one nothing is given back, since pyinfra would print it a second time."""
        connector_arguments.update(self.connector_arguments)
        done, output = host.run_shell_command(
            self, print_output=True, print_input=state.print_input, **connector_arguments
        )
        return done, output if done or state.print_output else CommandOutput([])
