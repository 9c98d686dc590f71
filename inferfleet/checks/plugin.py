"""pytest plugin: `--inventory FILE` makes one test of every check of that fleet.

pytest tests/verify --inventory inventory/lab.py
"""

from collections.abc import Callable

import pytest

from inferfleet.checks.fleet import CheckedFleet
from inferfleet.checks.target import RemoteTarget
from inferfleet.errors import FleetError

TargetOf = Callable[[str], RemoteTarget]

FLEET = pytest.StashKey[CheckedFleet]()
"""Where a run keeps its fleet; `inferfleet verify` puts it there itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know `--inventory`."""
    parser.addoption("--inventory", default=None, help="inventory file of the fleet to verify")


def pytest_configure(config: pytest.Config) -> None:
    """Read the inventory, if one is given; what is wrong with it ends the run in its own words."""
    if path := config.getoption("--inventory"):
        try:
            config.stash[FLEET] = CheckedFleet(path)
        except FleetError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check."""
    if "check" in metafunc.fixturenames:
        fleet = metafunc.config.stash.get(FLEET, None)
        metafunc.parametrize("check", fleet.checks if fleet else (), ids=str)


@pytest.fixture
def target_of(request: pytest.FixtureRequest) -> TargetOf:
    """The host of a name."""
    return request.config.stash[FLEET].target
