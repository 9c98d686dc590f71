"""A real sshd on loopback, with users of its own that exist only inside its mount namespace."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.connectors import ssh
from pyinfra.connectors.ssh import SSHConnector as Stock
from sshd_host import NEEDED, PASSWORD, SETUP, SSHD_CONFIG, Connect, Sshd, free_port, wait_for_banner

from inferfleet.ssh import FleetSSH


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if missing := [package for program, package in NEEDED.items() if not shutil.which(program)]:
        pytest.fail(f"tests/ssh: programs are missing; run as root with these packages installed: {' '.join(missing)}")
    folder = tmp_path_factory.mktemp("sshd")
    port = free_port()
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    namespace = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    program = shutil.which("sshd")
    process = subprocess.Popen(
        [*namespace, "sh", "-c", SETUP, "setup", folder, PASSWORD, program], stderr=subprocess.PIPE
    )
    wait_for_banner(port, process, folder / "log")
    yield Sshd(folder, port)
    process.kill()  # the namespace goes with it, sessions included
    process.communicate()
    shutil.rmtree(folder)  # a copy of /etc


@contextmanager
def connecting(sshd: Sshd) -> Iterator[Connect]:
    states: list[State] = []

    def make(connector: type[Stock], user: str = "deploy", names: tuple[str, ...] = ("node",), **data: object) -> Host:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssh, "SSHConnector", connector)
            inventory = Inventory((list(names), {}), override_data=sshd.data(user) | data)
        state = State(inventory, Config())
        connect_all(state)
        states.append(state)
        host = inventory.get_host(names[0])
        assert type(host.connector) is connector
        return host

    yield make
    for state in states:
        disconnect_all(state)


@pytest.fixture
def connect(sshd: Sshd) -> Iterator[Connect]:
    with connecting(sshd) as make:
        yield make


@pytest.fixture(scope="module")
def both(sshd: Sshd) -> Iterator[tuple[Host, Host]]:
    """The same machine through pyinfra's connector and through ours."""
    with connecting(sshd) as make:
        yield make(Stock), make(FleetSSH)
