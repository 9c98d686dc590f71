"""What goes wrong has a defined end: that command fails in one line, the next one is answered by a fresh shell."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyinfra.api import output as pyinfra_output
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from sshd_host import Connect

from inferfleet.ssh import FleetSSH

pytestmark = [pytest.mark.lab, pytest.mark.alone]


@pytest.fixture
def host(connect: Connect) -> Host:
    return connect(FleetSSH)


def lines(host: Host, command: str, **arguments: Any) -> list[str]:
    ok, output = host.run_shell_command(StringCommand(command), **arguments)
    assert ok, output.stderr
    return list(output.stdout_lines)


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_text_like_a_marker_is_output(host: Host) -> None:
    text = "inferfleet-00000000000000000000000000000000 1 0"
    assert lines(host, f"echo; echo '{text}'; echo '{text}' >&2; echo end") == ["", text, "end"]


def test_binary_output_is_replaced_not_fatal(host: Host) -> None:
    assert lines(host, "printf '\\377\\000\\376\\n\\200x'") == ["�\0�", "�x"]
    assert lines(host, "echo next") == ["next"]


@pytest.mark.parametrize(
    "command, message",
    [
        ("kill -9 $PPID; sleep 1", "the command killed the remote shell that ran it"),
        ("kill -9 0", "the remote shell ended while the command ran"),
        ("sudo pkill -9 -f '^sshd.*: deploy'; sleep 5", "the connection was lost while the command ran"),
    ],
)
def test_a_command_that_ends_its_shell_fails_alone(host: Host, command: str, message: str) -> None:
    lines(host, "true")
    with pytest.raises(OSError, match=message):
        lines(host, command)
    assert lines(host, "echo next") == ["next"]


def test_a_host_that_is_gone_is_one_clear_line(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.connector.data, "ssh_port", 1)
    with pytest.raises(OSError, match="the connection was lost while"):
        lines(host, "sudo pkill -9 -f '^sshd.*: deploy'; sleep 5")
    with pytest.raises(OSError, match="the connection was lost and cannot be made again: Could not connect"):
        lines(host, "true")


def test_a_late_answer_reaches_nobody(host: Host) -> None:
    with pytest.raises(TimeoutError):
        lines(host, "echo early; sleep 2; echo late; echo late >&2", _timeout=1)
    for _ in range(8):
        assert lines(host, "echo next") == ["next"]
        time.sleep(0.3)
    assert len(host.connector._shells._open) == 1


def test_a_child_that_holds_the_output_is_waited_for_as_by_sshd(host: Host) -> None:
    with pytest.raises(TimeoutError):
        lines(host, "sleep 60 & echo started", _timeout=1)
    assert lines(host, "echo next") == ["next"]


def test_a_detached_child_is_not_waited_for(host: Host) -> None:
    begun = time.monotonic()
    assert lines(host, "sleep 60 </dev/null >/dev/null 2>&1 & echo started") == ["started"]
    assert time.monotonic() - begun < 20


def test_an_account_without_shell_says_so(connect: Connect) -> None:
    with pytest.raises(OSError, match=r"no shell started on the host; it said: This account is currently not avail"):
        lines(connect(FleetSSH, user="closed"), "true")


def test_what_a_login_file_prints_belongs_to_no_command(connect: Connect) -> None:
    ok, output = connect(FleetSSH, user="asker").run_shell_command(StringCommand("echo a; echo b >&2"))
    assert (ok, output.stdout_lines, output.stderr_lines) == (True, ["a"], ["b"])


def test_a_missing_shell_executable_fails(host: Host) -> None:
    ok, output = host.run_shell_command(StringCommand("true"), _shell_executable="no-such-shell")
    assert not ok
    assert "no-such-shell" in output.stderr


@pytest.fixture
def printed() -> Iterator[list[tuple[float, str]]]:
    seen: list[tuple[float, str]] = []
    before = pyinfra_output._echo
    pyinfra_output.set_echo(lambda message, **_: seen.append((time.monotonic(), message)))
    yield seen
    pyinfra_output.set_echo(before)


def test_lines_are_shown_while_the_command_runs(host: Host, printed: list[tuple[float, str]]) -> None:
    lines(host, "echo first; sleep 1; echo second >&2", print_output=True, print_input=True)
    assert [text.split("] ")[1] for _, text in printed] == [
        ">>> sh -c 'echo first; sleep 1; echo second >&2'",
        "first",
        "second",
    ]
    assert printed[2][0] - printed[1][0] > 0.8


def test_a_command_does_not_wait_for_another_ones_end(host: Host) -> None:
    lines(host, "rm -f /home/deploy/go")
    waiting = in_thread(lambda: lines(host, "until test -e /home/deploy/go; do sleep 0.1; done", _timeout=30))
    time.sleep(0.5)
    lines(host, "touch /home/deploy/go", _timeout=10)
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    lines(host, "rm /home/deploy/go")


def test_questions_queue_in_one_shell_and_survive_the_one_before(host: Host) -> None:
    shells = host.connector._shells
    answers: dict[str, object] = {}

    def ask(name: str, command: str, timeout_s: float) -> None:
        heard: list[str] = []
        try:
            shells.run(command, lambda _, line: heard.append(line), timeout_s, may_queue=True)
            answers[name] = heard
        except OSError as error:
            answers[name] = type(error)

    def ask_three(first_timeout_s: float) -> list[object]:
        threads = []
        for name, command, timeout_s in (
            ("a", "sleep 1; echo a", first_timeout_s),
            ("b", "echo b", 30),
            ("c", "echo c", 30),
        ):
            threads.append(in_thread(lambda now=(name, command, timeout_s): ask(*now)))
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        return [answers[name] for name in "abc"]

    assert ask_three(30) == [["a"], ["b"], ["c"]]
    assert len(shells._open) == 1
    assert ask_three(0.5) == [TimeoutError, ["b"], ["c"]]
