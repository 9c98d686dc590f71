"""One remote `sh` that answers many commands, in the order they were asked.

Nothing here reads in the background: whoever waits for an answer reads the channel, for itself and for the
others that wait. So it works under gevent's patched threads (the `pyinfra` command) and without (API mode).
"""

import os
import threading
from time import monotonic

from paramiko import Channel, Transport

from .frame import OnLine, Question, ShellEnded, Stream, framed, opening

_CHUNK = 65536  # bytes read from the channel at once
_JUNK_LINES = 3  # lines of a login message quoted when the shell does not start
_SPARE = 3  # idle shells kept; sshd allows 10 channels a connection (MaxSessions), other uses included


class Displaced(OSError):
    """The shell ended before this command was its turn: it did not run and can be asked again elsewhere."""


class _Wake(threading.Event):
    """Set by paramiko when data or the end arrives; it clears for one buffer where two share this, so only we clear."""

    def clear(self) -> None:
        pass

    def rearm(self) -> None:
        super().clear()


class Shell:
    """A FIFO to one remote `sh` on a channel of its own.

    Args:
        transport: a live SSH connection.

    Raises:
        paramiko.SSHException: no channel could be opened (sshd's MaxSessions is 10 by default).
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._mark = f"inferfleet-{os.urandom(16).hex()}"
        self._streams = [Stream(name, self._mark.encode()) for name in ("stdout", "stderr")]
        self._asked = 0
        self._reading = threading.Lock()
        self._sending = threading.Lock()
        self._wake = _Wake()
        self._ended = False
        self._junk: list[str] = []
        self._channel: Channel = transport.open_session()
        self._channel.in_buffer.set_event(self._wake)
        self._channel.in_stderr_buffer.set_event(self._wake)
        self._channel.exec_command("exec sh")
        self._enqueue(lambda _, line: self._junk.append(line), may_queue=True)
        self._start = opening(self._mark)

    @property
    def usable(self) -> bool:
        """The shell was alive when last heard of."""
        return not (self._ended or self._channel.closed or self._channel.eof_received)

    @property
    def idle(self) -> bool:
        """No question but the opening one is open."""
        return all(question.number == 0 for stream in self._streams for question in stream.pending)

    @property
    def takes_queue(self) -> bool:
        """Everything open may have something queued behind it."""
        return all(question.may_queue for stream in self._streams for question in stream.pending)

    def run(self, command: str, on_line: OnLine, timeout_s: float | None = None, may_queue: bool = False) -> int:
        """Runs `command` after those asked before it, and returns its exit code.

        Args:
            command: shell text that is complete in itself.
            on_line: called with ("stdout" or "stderr", line) while the command runs.
            timeout_s: seconds from now until the whole shell is given up; None waits for ever.
            may_queue: whether other such questions may be sent before this one is answered.

        Raises:
            TimeoutError: not answered in time; the shell is closed, so a late answer reaches nobody.
            ShellEnded: the shell or the connection ended while the command ran.
            Displaced: they ended before it was this command's turn.
        """
        deadline = monotonic() + timeout_s if timeout_s else None
        try:
            with self._sending:
                question = self._enqueue(on_line, may_queue)
                self._send(self._start + framed(command, self._mark, question.number), deadline)
                self._start = ""
            while not question.done:
                self._read(question, deadline)
        except BaseException:  # a killed greenlet too: nobody may find this answer in the channel later
            self.close()
            raise
        return question.exit_code()

    def close(self) -> None:
        """Ends the channel; what still runs on the host runs on, unheard."""
        self._ended = True
        self._channel.close()
        self._wake.set()

    def _enqueue(self, on_line: OnLine, may_queue: bool) -> Question:
        question = Question(self._asked, on_line, may_queue)
        self._asked += 1
        for stream in self._streams:
            stream.pending.append(question)
        return question

    def _send(self, text: str, deadline: float | None) -> None:
        self._channel.settimeout(_left(deadline))
        try:
            self._channel.sendall(text.encode())
        except TimeoutError:
            raise
        except OSError:
            self._ended = True  # found out by whoever reads next, in one wording

    def _read(self, question: Question, deadline: float | None) -> None:
        """Reads what has come, for every open question, or waits for more."""
        left = _left(deadline)
        if not self._reading.acquire(timeout=-1 if left is None else left):
            raise TimeoutError
        try:
            if question.done:
                return
            self._wake.rearm()
            ended = not self.usable  # asked before reading: what came before the end is read first
            if self._drain() or question.done:
                return
            if ended:
                self._raise_end(question)
            if not self._wake.wait(_left(deadline)):
                raise TimeoutError
        finally:
            self._reading.release()

    def _drain(self) -> bool:
        """Takes what is ready on both streams; whether there was anything."""
        out, err = self._streams
        seen = False
        while self._channel.recv_ready():
            out.feed(self._channel.recv(_CHUNK))
            seen = True
        while self._channel.recv_stderr_ready():
            err.feed(self._channel.recv_stderr(_CHUNK))
            seen = True
        return seen

    def _raise_end(self, question: Question) -> None:
        first = min(pending.number for stream in self._streams for pending in stream.pending)
        if not self._transport.is_active():
            raise ShellEnded("the connection was lost while the command ran")
        if first == 0:
            said = " / ".join(self._junk[:_JUNK_LINES]) or "nothing"
            raise ShellEnded(f"no shell started on the host; it said: {said}")
        if first < question.number:
            raise Displaced("the remote shell ended before the command ran")
        raise ShellEnded("the remote shell ended while the command ran")


def _left(deadline: float | None) -> float | None:
    """Seconds until `deadline`."""
    if deadline is None:
        return None
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class Shells:
    """The shells of one host: as many as it has commands at the same moment, one nearly always.

    Questions that change nothing may queue behind each other in one shell. Anything else gets a shell that is
    idle, because a command may be waiting for what another one does.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._open: list[Shell] = []

    def run(self, command: str, on_line: OnLine, timeout_s: float | None = None, may_queue: bool = False) -> int:
        """As `Shell.run`; a queued question that lost its shell to the one before it is asked again."""
        while True:
            try:
                return self._pick(may_queue).run(command, on_line, timeout_s, may_queue)
            except Displaced:
                continue
            finally:
                for shell in [shell for shell in self._open if shell.idle][_SPARE:]:
                    shell.close()

    def close(self) -> None:
        """Ends all shells."""
        for shell in self._open:
            shell.close()
        self._open.clear()

    def _pick(self, may_queue: bool) -> Shell:
        self._open = [shell for shell in self._open if shell.usable]
        for shell in self._open:
            if shell.idle or (may_queue and shell.takes_queue):
                return shell
        shell = Shell(self.transport)
        self._open.append(shell)
        return shell
