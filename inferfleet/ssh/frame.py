"""How commands and answers share one shell: the text sent, and the reading of what comes back.

Every command runs in a pipeline of its own, and its answer is closed by a random marker on stdout and on stderr:

    ( command ) </dev/null  --stdout--> cat --> channel stdout, then: newline, marker, number, exit code
                            --stderr--> cat --> channel stderr, then: newline, marker, number

The two `cat` wait for the last process that holds the output, as sshd does for a channel of its own. So a
child left in the background can never write into the answer of the next command. They cost 1.6 ms a command
(dash, one core); a channel of its own costs a round trip and more than that.
"""

from collections import deque
from collections.abc import Callable

_FRAME = """\
r=$( {{ {{ {{ ( {command}
) </dev/null 2>&1 1>&6 3>&- 4>&- 5>&- 6>&-; echo $? >&5; }} 2>/dev/null | cat >&4 6>&-; }} 6>&1 | cat >&3; }} 5>&1 )
printf '\\n%s\\n' "{mark} {number} $r"; printf '\\n%s\\n' "{mark} {number} -" >&2
"""

_START = """\
exec 3>&1 4>&2
printf '\\n%s\\n' "{mark} 0 -"; printf '\\n%s\\n' "{mark} 0 -" >&2
"""


def framed(command: str, mark: str, number: int) -> str:
    """The text that makes the shell run `command` and close its answer; nothing runs before all of it has come."""
    return _FRAME.format(command=command, mark=mark, number=number)


def opening(mark: str) -> str:
    """The first text for a new shell: what login files printed before its marker belongs to no command."""
    return _START.format(mark=mark)


OnLine = Callable[[str, str], None]


class ShellEnded(OSError):
    """The shell or the connection ended while this command ran: whether it took effect is not known."""


class Question:
    """A command sent to the shell, and what has been answered so far.

    Args:
        number: place in the order of questions of one shell.
        on_line: called with ("stdout" or "stderr", line) as soon as a line is complete.
        may_queue: whether others that may queue can be sent behind this one.
    """

    def __init__(self, number: int, on_line: OnLine, may_queue: bool) -> None:
        self.number = number
        self.on_line = on_line
        self.may_queue = may_queue
        self.codes: list[str] = []

    @property
    def done(self) -> bool:
        """Both streams have been answered to the end."""
        return len(self.codes) == 2

    def exit_code(self) -> int:
        """The exit code of the command; `ShellEnded` when it killed the process that was to report it."""
        code = "".join(self.codes).replace("-", "")
        if not code.isdigit():
            raise ShellEnded("the command killed the remote shell that ran it")
        return int(code)


class Stream:
    """Splits one stream of the shell into lines, and lines into answers."""

    def __init__(self, name: str, mark: bytes) -> None:
        self.name = name
        self.pending: deque[Question] = deque()
        self._mark = mark + b" "
        self._rest = bytearray()
        self._held_blank = False

    def feed(self, data: bytes) -> None:
        """Hands every line that is now complete to the question it answers."""
        self._rest += data
        if b"\n" in data:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._take(bytes(line))

    def _take(self, line: bytes) -> None:
        if line.startswith(self._mark):
            self._held_blank = False  # the newline before the marker is ours, not the command's
            _, _, code = line.decode().split(" ", 2)
            self.pending.popleft().codes.append(code)
            return
        question = self.pending[0]
        if self._held_blank:
            question.on_line(self.name, "")
        self._held_blank = not line
        if line:
            question.on_line(self.name, line.decode("utf-8", "replace"))
