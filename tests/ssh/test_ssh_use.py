"""`use()` changes what plain host names take, and nothing else."""

import socket

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.connectors import get_execution_connector
from pyinfra.connectors import dockerssh, ssh
from pyinfra.connectors.ssh import SSHConnector as Stock
from sshd_host import Connect

from inferfleet.ssh import FleetSSH, shell, use

pytestmark = [pytest.mark.lab, pytest.mark.alone]


def test_plain_names_take_ours_and_what_builds_on_stock_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "SSHConnector", Stock)
    for _ in range(2):
        use()
        assert get_execution_connector("ssh") is FleetSSH
    assert issubclass(FleetSSH, Stock)
    assert dockerssh.SSHConnector is Stock


def test_nagle_is_off(connect: Connect) -> None:
    sock = connect(FleetSSH).connector.client.get_transport().sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_few_idle_shells_stay(connect: Connect) -> None:
    host = connect(FleetSSH)
    host.run_shell_command(StringCommand("true"))
    shells = host.connector._shells
    shells._open += [shell.Shell(shells.transport) for _ in range(7)]
    for _ in range(2):
        host.run_shell_command(StringCommand("true"))
    assert len(shells._open) == shell._SPARE
