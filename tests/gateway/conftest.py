"""The real HAProxy, doubles of engines, and gateways between them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inferfleet.gateway import Secrets
from inferfleet.plan import GatewayPlan
from tests.gateway.engine_double import Doubles
from tests.gateway.program import unpacked
from tests.gateway.running import Running, key

Start = Callable[..., Running]


@pytest.fixture(scope="session")
def haproxy() -> Path:
    if shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None:
        pytest.skip("HAProxy is unpacked from Debian's packages, and this is no Debian or Ubuntu")
    return unpacked()


@pytest.fixture(scope="module")
def doubles() -> Iterator[Doubles]:
    found = Doubles()
    yield found
    found.close()


@pytest.fixture(scope="module")
def start(haproxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts gateways; all end with the module."""
    started: list[Running] = []

    def begin(plan: GatewayPlan, **secrets: Any) -> Running:
        secrets.setdefault("keys", (key("alice"), key("bob"), key("carol")))
        # A short path: a socket's has room for 107 characters.
        one = Running(plan, Secrets(**secrets), haproxy, tmp_path_factory.mktemp("gw"))
        started.append(one)
        return one.start()

    yield begin
    for one in started:
        one.stop()
