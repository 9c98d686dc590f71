"""sudo that wants a password: asked of the person at the terminal; without one, a clear line instead of a traceback."""

import sys
from collections.abc import Callable

from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.host import Host
from pyinfra.connectors.util import SUDO_PASSWORD_REQUIRED_LINES, CommandOutput, execute_command_with_sudo_retry

Execute = Callable[[], tuple[int, CommandOutput]]


def with_sudo_password(host: Host, arguments: ConnectorArguments, execute: Execute) -> tuple[int, CommandOutput]:
    """What `execute` gives, tried again with a password where sudo wants one.

    pyinfra (3.10) asks for it with `getpass`, which ends the run of all hosts where nobody can answer.

    Raises:
        OSError: nobody is there to be asked; it fails this host alone.
    """

    def once() -> tuple[int, CommandOutput]:
        code, output = execute()
        wanted = any(line.line.strip() in SUDO_PASSWORD_REQUIRED_LINES for line in output.combined_lines)
        if code != 0 and wanted and not sys.stdin.isatty():
            user = host.data.get("ssh_user") or "the user"
            raise OSError(f"sudo wants a password; let {user} use sudo without one, or run pyinfra at a terminal")
        return code, output

    return execute_command_with_sudo_retry(host, arguments, once)
