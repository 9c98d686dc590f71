"""pytest plugin: `--inventory FILE` makes one test of every check of that fleet.

pytest tests/verify --inventory inventory/lab.py
"""

from collections.abc import Callable
from typing import Any

import pytest

from inferfleet.checks import Check, fleet_checks
from inferfleet.checks.target import RemoteTarget
from inferfleet.inventory import read_inventory
from inferfleet.plan import make_plan
from inferfleet.services import ollama_host
from inferfleet.spec import parse_fleet

TargetOf = Callable[[str], RemoteTarget]


class _Fleet:
    """The inventory of this run, read once."""

    def __init__(self, path: str) -> None:
        self._data = read_inventory(path)
        self._plan = make_plan(parse_fleet(self._data))
        self.checks = fleet_checks(self._plan)
        self._targets: dict[str, RemoteTarget] = {}

    def target(self, name: str) -> RemoteTarget:
        """The host of that name; one connection serves all its checks."""
        if name not in self._targets:
            node = self._plan.node(name)
            if node is None:
                raise LookupError(name)
            self._targets[name] = RemoteTarget(name, self._data[name], ollama_host(node))
        return self._targets[name]


_FLEET = pytest.StashKey[_Fleet]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know `--inventory`."""
    parser.addoption("--inventory", default=None, help="inventory file of the fleet to verify")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check."""
    if "check" not in metafunc.fixturenames:
        return
    path = metafunc.config.getoption("--inventory")
    if path and _FLEET not in metafunc.config.stash:
        metafunc.config.stash[_FLEET] = _Fleet(path)
    checks: tuple[Check, ...] = metafunc.config.stash[_FLEET].checks if path else ()
    metafunc.parametrize("check", checks, ids=str)


@pytest.fixture
def target_of(request: pytest.FixtureRequest) -> Any:
    """The host of a name."""
    return request.config.stash[_FLEET].target
