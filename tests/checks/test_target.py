"""Where a check goes to find a host."""

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
