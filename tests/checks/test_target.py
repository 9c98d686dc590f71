"""Where a check goes to find a host."""

import os
import subprocess
import sys
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend

from inferfleet.checks.target import _address


@pytest.mark.parametrize(
    ("data", "host", "port"),
    [
        ({}, "gpu1", None),
        ({"ssh_hostname": "10.0.0.1", "ssh_port": 2222, "ssh_user": "deploy"}, "10.0.0.1", "2222"),
        ({"ssh_hostname": "fd00::5", "ssh_port": 2222}, "fd00::5", "2222"),
        ({"ssh_hostname": "fd00::5", "ssh_user": "deploy"}, "fd00::5", None),
    ],
)
def test_testinfra_reads_the_same_host(data: dict[str, Any], host: str, port: str | None) -> None:
    (address,) = _address("gpu1", data)
    spec = BaseBackend.parse_hostspec(address.removeprefix("ssh://"))
    assert (spec.name, spec.port, spec.user) == (host, port, data.get("ssh_user"))


def test_ssh_has_room_for_its_socket_wherever_temporary_files_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A path that is too long ends ssh before it has asked any host: 40 characters of hash, 17 while it is made."""
    far = tmp_path_factory.mktemp("a-directory-with-a-name-as-long-as-those-of-macos")
    show = "from inferfleet.checks import target; print(target._CONTROL.name)"
    environment = {**os.environ, "TMPDIR": str(far)}
    done = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) + 1 + 40 + 17 <= 103
