"""`FleetSSH`: pyinfra's SSH connector with no-delay, one remote shell per host, and kept facts."""

import inspect
import socket
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Unpack

from paramiko import Channel
from pyinfra import logger
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, ConnectorDataTypeError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.output import echo, format_text
from pyinfra.api.state import State
from pyinfra.api.util import get_file_io, raise_if_bad_type
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import (
    CommandOutput,
    OutputLine,
    extract_control_arguments,
    make_unix_command_for_host,
)

from . import transfer, trips
from .cache import FactCache, asked_by_askpass, asked_by_fact, close_caches, watch_executions
from .shell import Shells
from .sudo import with_sudo_password

_ELEVATING = ("_sudo", "_su_user", "_doas", "_dzdo")


class FleetSSH(SSHConnector):
    """Connects to hosts over SSH as pyinfra does, in fewer round trips.

    Host data `ssh_stock: true` (or `--data ssh_stock=true`) makes it pyinfra's own connector again. Commands with
    `_get_pty`, `_stdin` or `_shell_executable=None` always take pyinfra's way, on a channel of their own.
    """

    before_connecting: ClassVar[Callable[[State], None]] = staticmethod(lambda state: None)
    """Called with the run's state before any host is connected to; what it raises ends the run."""

    def __init__(self, state: State, host: Host) -> None:
        type(self).before_connecting(state)  # all hosts get their connectors before the first is connected to
        super().__init__(state, host)
        watch_executions()
        self._facts = FactCache(state, host)
        self._shells: Shells | None = None
        self._stock = host.data.get("ssh_stock", False)
        raise_if_bad_type(self._stock, bool, ConnectorDataTypeError, "Invalid connector data `ssh_stock`:")

    def connect(self) -> None:
        """Connects, and turns Nagle's algorithm off; it adds a delayed-ACK wait (40 ms) to every exchange."""
        if self.client is not None:
            self.client.close()
        try:
            super().connect()
        except ConnectError:
            raise
        except PyinfraError as error:  # such as a key file that is not there: that is this host's matter alone
            raise ConnectError(str(error)) from error
        if not self._stock and self.client is not None and (transport := self.client.get_transport()):
            _no_delay(transport.sock)
            self._shells = Shells(transport)

    def disconnect(self) -> None:
        """Ends the shells; pyinfra removes its askpass script after this, so the connection itself stays."""
        super().disconnect()
        self._facts.clear()
        if self._shells is not None:
            self._shells.close()
            self._shells = None

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> tuple[bool, CommandOutput]:
        """Runs `command` in the host's shell; same result as pyinfra's, lines printed as they come.

        Raises:
            TimeoutError: not done within `_timeout` seconds; it may still run on the host.
            OSError: the command, or someone else, ended the shell or the connection; one line says which.
        """
        frame = inspect.currentframe()
        caller = frame.f_back.f_back if frame and frame.f_back else None  # beyond `Host.run_shell_command`
        is_fact = asked_by_fact(caller)
        if not is_fact and not asked_by_askpass(caller):
            close_caches(self.state)
        if self._takes_stock(arguments):
            trips.count(self.host.name, "facts" if is_fact else "commands")
            return super().run_shell_command(command, print_output, print_input, **arguments)
        control = extract_control_arguments(arguments)
        shown = _Shown(self.host, print_output, print_input)

        def execute() -> tuple[int, CommandOutput]:
            unix = make_unix_command_for_host(self.state, self.host, command, **arguments)
            logger.debug("Running command on %s: %s", self.host.name, unix)
            shown.command(str(unix))
            return self._ask(unix.get_raw_value(), shown, control.get("_timeout"), is_fact)

        code, output = with_sudo_password(self.host, arguments, execute)
        return code in (control.get("_success_exit_codes") or (0,)), output

    def put_file(
        self,
        filename_or_io: Any,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        """Uploads a small file in one round trip; larger ones, and all that fail, pyinfra's way with its errors."""
        close_caches(self.state)
        content = None if self._takes_stock(arguments) else transfer.small_content(filename_or_io)
        if content is not None and not arguments.get("_su_password"):  # su reads its password from stdin
            sink = transfer.writing(remote_filename, len(content))
            shown = _Shown(self.host, print_output, print_input)
            if self._transfer("uploads", sink, shown, arguments, content) is not None:
                shown.note(f"file uploaded: {remote_filename}")
                return True
        trips.count(self.host.name, "uploads")
        return bool(
            super().put_file(
                filename_or_io, remote_filename, remote_temp_filename, print_output, print_input, **arguments
            )
        )

    def get_file(
        self,
        remote_filename: str,
        filename_or_io: Any,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        """Downloads a small file in one round trip; larger ones, and all that fail, pyinfra's way with its errors."""
        if not self._takes_stock(arguments):
            shown = _Shown(self.host, print_output, print_input)
            lines = self._transfer("downloads", transfer.reading(remote_filename), shown, arguments)
            content = None if lines is None else transfer.content_read(lines)
            if content is not None:
                with get_file_io(filename_or_io, "wb") as file:
                    file.write(content)
                shown.note(f"file downloaded: {remote_filename}")
                return True
        trips.count(self.host.name, "downloads")
        return bool(
            super().get_file(
                remote_filename, filename_or_io, remote_temp_filename, print_output, print_input, **arguments
            )
        )

    def rsync(self, src: str, dest: str, flags: Iterable[str], *args: Any, **kwargs: Any) -> bool:
        """As pyinfra's, which runs the local rsync over an SSH connection of its own."""
        close_caches(self.state)
        trips.count(self.host.name, "uploads")
        return bool(super().rsync(src, dest, flags, *args, **kwargs))

    def _takes_stock(self, arguments: ConnectorArguments) -> bool:
        return (
            self._shells is None
            or bool(arguments.get("_get_pty") or arguments.get("_stdin"))
            or arguments.get("_shell_executable", "sh") is None  # then the login shell reads the text itself
        )

    def _transfer(
        self, kind: str, script: str, shown: "_Shown", arguments: ConnectorArguments, content: bytes | None = None
    ) -> list[str] | None:
        """The lines that `script` prints, run as the arguments say and fed with `content`; None when it failed.

        Like SFTP, an unelevated transfer knows no `_chdir` and `_env`.
        """
        elevated = any(arguments.get(key) for key in _ELEVATING)
        kept = arguments.copy() if elevated else ConnectorArguments()
        extract_control_arguments(kept)
        kept.pop("_shell_executable", None)  # the script is for a POSIX sh

        def execute() -> tuple[int, CommandOutput]:
            unix = make_unix_command_for_host(self.state, self.host, StringCommand(script), **kept)
            shown.command(str(unix))
            raw = unix.get_raw_value()
            text = raw if content is None else transfer.feeding(content, raw)
            trips.count(self.host.name, kind)
            return self._run(text, _Shown(self.host), arguments.get("_timeout"), may_queue=False)

        code, output = with_sudo_password(self.host, kept, execute)
        if code != 0:
            logger.debug("%s of %s took pyinfra's way: %s", kind, self.host.name, output.stderr)
        return output.stdout_lines if code == 0 else None

    def _ask(self, command: str, shown: "_Shown", timeout_s: float | None, is_fact: bool) -> tuple[int, CommandOutput]:
        """Runs the whole command, or answers a fact from what is kept."""
        if is_fact and (kept := self._facts.get(command)):
            trips.count(self.host.name, "cached")
            code, lines = kept
            for line in lines:
                shown.line(line)
            return code, CommandOutput(list(lines))
        trips.count(self.host.name, "facts" if is_fact else "commands")
        code, output = self._run(command, shown, timeout_s, may_queue=is_fact)
        if is_fact:
            self._facts.put(command, code, list(output.combined_lines))
        return code, output

    def _run(
        self, command: str, shown: "_Shown", timeout_s: float | None, may_queue: bool
    ) -> tuple[int, CommandOutput]:
        lines: list[OutputLine] = []

        def on_line(stream: str, text: str) -> None:
            lines.append(OutputLine(stream, text))
            shown.line(lines[-1])

        code = self._live_shells().run(command, on_line, timeout_s, may_queue)
        return code, CommandOutput(lines)

    def _live_shells(self) -> Shells:
        """The shells of a live connection; one that was lost is made anew, once."""
        if self._shells is None or not self._shells.transport.is_active():
            self.disconnect()
            try:
                self.connect()
            except ConnectError as error:
                raise OSError(f"the connection was lost and cannot be made again: {error}") from error
        if self._shells is None:
            raise OSError("no connection")
        return self._shells


class _Shown:
    """What of a command the user sees, in pyinfra's own form."""

    def __init__(self, host: Host, output: bool = False, input: bool = False) -> None:
        self._host = host
        self._output = output
        self._input = input

    def command(self, text: str) -> None:
        if self._input:
            echo(f"{self._host.print_prefix}>>> {text}", err=True)

    def line(self, line: OutputLine) -> None:
        if self._output:
            text = format_text(line.line, "red") if line.buffer_name == "stderr" else line.line
            echo(f"{self._host.print_prefix}{text}", err=True)

    def note(self, text: str) -> None:
        if self._output:
            echo(f"{self._host.print_prefix}{text}", err=True)


def _no_delay(sock: Any) -> None:
    """Sets TCP_NODELAY on the connection, and on those it jumps through."""
    while isinstance(sock, Channel):
        sock = sock.get_transport().sock
    if isinstance(sock, socket.socket):  # a ProxyCommand is a process
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
