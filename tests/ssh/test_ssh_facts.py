"""A fact asked twice costs one round trip while the run has changed nothing, and is never old afterwards."""

from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.operation import add_op, operation
from pyinfra.api.operations import run_ops
from pyinfra.connectors import util
from pyinfra.context import host as current
from pyinfra.facts.files import File
from pyinfra.facts.server import Command, Hostname
from sshd_host import PASSWORD, Connect

from inferfleet.ssh import FleetSSH, cache, round_trips

pytestmark = [pytest.mark.lab, pytest.mark.alone]

PATH = "/home/deploy/thing"


class Ticks(FactBase[str]):
    """Differs each time it is really asked."""

    def command(self, which: str = "a") -> StringCommand:
        return StringCommand("echo", which, "$(date +%s%N)")


@operation()
def ask(seen: list[object]) -> Any:
    """Asks, changes nothing."""
    seen.append(current.get_fact(Ticks))
    yield from ()


@operation(is_idempotent=False)
def call(function: Any) -> Any:
    """Runs `function(state, host)` when executed."""
    yield FunctionCommand(function, (), {})


@pytest.fixture
def host(connect: Connect) -> Host:
    return connect(FleetSSH)


def counted(kind: str) -> int:
    return round_trips().get("node", {}).get(kind, 0)


def test_asked_twice_costs_once(host: Host) -> None:
    before, kept = counted("total"), counted("cached")
    assert host.get_fact(Ticks) == host.get_fact(Ticks)
    assert (counted("total") - before, counted("cached") - kept) == (1, 1)


def test_other_arguments_are_another_question(host: Host) -> None:
    answers = [host.get_fact(Ticks), host.get_fact(Ticks, which="b"), host.get_fact(Ticks, _sudo=True)]
    assert len(set(answers)) == 3


def test_a_failed_answer_is_not_kept(host: Host) -> None:
    before = counted("facts")
    for _ in range(2):
        host.get_fact(Command, "false", _ignore_errors=True)
    assert counted("facts") - before == 2


def test_preparing_and_executing_ask_once_when_nothing_changes(host: Host) -> None:
    seen: list[object] = []
    for _ in range(3):
        add_op(host.state, ask, seen)
    run_ops(host.state)
    assert len(seen) == 6
    assert len(set(seen)) == 1


def test_after_the_first_execution_every_question_is_asked(host: Host) -> None:
    seen: list[object] = []
    for op, argument in ((ask, seen), (call, lambda state, host: None), (ask, seen), (ask, seen)):
        add_op(host.state, op, argument)
    run_ops(host.state)
    prepared, executed = seen[:3], seen[3:]
    assert len(set(prepared)) == 1
    assert executed[0] == prepared[0]
    assert len(set(executed)) == 3


def test_a_callback_that_waits_sees_the_host_as_it_is(host: Host) -> None:
    seen: list[object] = []

    def wait(state: object, host: Host) -> None:
        seen.extend(host.get_fact(Ticks) for _ in range(3))

    host.get_fact(Ticks)
    add_op(host.state, call, wait)
    run_ops(host.state)
    assert len(set(seen)) == 3


def test_what_deploy_code_does_by_itself_is_seen(host: Host) -> None:
    assert host.get_fact(File, path=PATH) is None
    host.run_shell_command(StringCommand("touch", PATH))
    assert host.get_fact(File, path=PATH)


@pytest.mark.parametrize("touch", ["command", "upload", "stock command"])
def test_every_way_to_a_host_ends_the_keeping(host: Host, touch: str) -> None:
    first = host.get_fact(Ticks)
    if touch == "upload":
        host.put_file("/dev/null", PATH)
    else:
        host.run_shell_command(StringCommand("true"), _get_pty=touch == "stock command")
    assert host.get_fact(Ticks) != first


def test_a_command_on_one_host_ends_it_for_all(connect: Connect) -> None:
    host = connect(FleetSSH, names=("node", "beside"))
    beside = host.state.inventory.get_host("beside")
    first = beside.get_fact(Ticks)
    assert beside.get_fact(Ticks) == first
    host.run_shell_command(StringCommand("true"))
    assert beside.get_fact(Ticks) != first


def test_the_askpass_script_of_pyinfra_ends_nothing(connect: Connect) -> None:
    host = connect(FleetSSH, user="asker")
    first = host.get_fact(Ticks)
    assert host.get_fact(Command, "id -un", _sudo=True, _sudo_password=PASSWORD) == "root"
    assert host.get_fact(Ticks) == first


def test_asking_again_to_wait_is_answered_anew(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    first = host.get_fact(Ticks)
    clock = cache.monotonic
    monkeypatch.setattr(cache, "monotonic", lambda: clock() + cache._POLL_S + 0.1)
    assert host.get_fact(Ticks) != first


def test_an_answer_is_not_kept_for_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    host.get_fact(Ticks)
    clock = cache.monotonic
    add_op(host.state, ask, seen)
    monkeypatch.setattr(cache, "monotonic", lambda: clock() + cache._KEPT_S + 1)
    add_op(host.state, ask, seen)
    assert len(set(seen)) == 2


def test_a_new_connection_forgets(host: Host) -> None:
    first = host.get_fact(Ticks)
    host.disconnect()
    host.connect()
    assert host.get_fact(Ticks) != first


def test_sudo_asks_for_the_password_once(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(util, "getpass", lambda prompt: asked.append(prompt) or PASSWORD)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    host = connect(FleetSSH, user="asker")
    for _ in range(2):
        ok, output = host.run_shell_command(StringCommand("id -un; cat"), _sudo=True)
        assert (ok, output.stdout_lines) == (True, ["root"])
    assert host.put_file("/dev/null", "/run/inferfleet-test", _sudo=True)
    assert host.get_fact(Command, "rm -v /run/inferfleet-test", _sudo=True)
    assert len(asked) == 1


def test_sudo_that_wants_a_password_is_an_error_where_nobody_can_be_asked(connect: Connect) -> None:
    host = connect(FleetSSH, user="asker")
    with pytest.raises(OSError, match="sudo wants a password; let asker use sudo without one"):
        host.run_shell_command(StringCommand("true"), _sudo=True)


def test_the_askpass_script_is_gone_in_the_end(connect: Connect) -> None:
    host = connect(FleetSSH, user="asker")
    host.run_shell_command(StringCommand("true"), _sudo=True, _sudo_password=PASSWORD)
    (path,) = [value for key, value in host.connector_data.items() if "askpass" in key]
    host.disconnect()
    host.connect()
    ok, _ = host.run_shell_command(StringCommand("test", "-e", path))
    assert not ok


def test_host_data_goes_back_to_stock(connect: Connect) -> None:
    host = connect(FleetSSH, ssh_stock=True)
    before = counted("total")
    first = host.get_fact(Ticks)
    assert host.get_fact(Ticks) != first
    assert host.get_fact(Hostname)
    assert host.connector._shells is None
    assert counted("total") - before == 3


def test_host_data_of_the_wrong_type_is_refused(connect: Connect) -> None:
    with pytest.raises(PyinfraError, match="Invalid connector data `ssh_stock`"):
        connect(FleetSSH, ssh_stock="yes")
