"""`inferfleet verify`: run the checks through pytest, and say what holds, sentence by sentence."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from inferfleet import calibration
from inferfleet.calibration import Measurement
from inferfleet.checks.base import UNREACHED
from inferfleet.checks.fleet import CheckedFleet
from inferfleet.checks.plugin import FLEET

__all__ = ["UNREACHED", "Listener", "as_json", "calibrate", "verify"]


class Listener:
    """Collects what pytest reports, and hands on each sentence as soon as it is known."""

    def __init__(self, fleet: CheckedFleet, say: Callable[[str, str], None]) -> None:
        self.results: list[dict[str, Any]] = []
        self.fleet, self._say = fleet, say

    def pytest_configure(self, config: pytest.Config) -> None:
        """Hand the fleet to the plugin."""
        config.stash[FLEET] = self.fleet

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A check is done when its call is, or when its set-up failed."""
        if report.when != "call" and not report.failed:
            return
        sentence = report.nodeid.partition("[")[2].rstrip("]")
        reason = (
            "" if report.passed else str(report.longrepr).strip().splitlines()[-1].removeprefix(f"{sentence}: no, ")
        )
        self.results.append({"check": sentence, "holds": report.passed, "reason": reason, "seconds": report.duration})
        self._say(sentence, reason)


def verify(inventory: str, say: Callable[[str, str], None], junit: Path | None = None) -> Listener:
    """Run every check of the fleet.

    Args:
        inventory: path of the inventory file.
        say: told each sentence and, where it does not hold, why.
        junit: where to write a JUnit report.

    Raises:
        FleetError: the inventory cannot be read.
        SpecError: one line for each mistake in it.
    """
    listener = Listener(CheckedFleet(inventory), say)
    tests = str(files("inferfleet.checks") / "fleet_test.py")
    # The project's own pytest settings are left out (`-c`); they may name the plugin a second time.
    words = f"-p no:terminal -p no:cacheprovider -p inferfleet.checks.plugin -o addopts= -c {os.devnull} --rootdir"
    options = [*words.split(), str(Path(tests).parent)]
    if junit:
        options.append(f"--junitxml={junit}")
    pytest.main([tests, *options], plugins=[listener])
    return listener


def as_json(listener: Listener) -> str:
    """The results as JSON: a list of checks, and whether all hold."""
    holds = bool(listener.results) and all(result["holds"] for result in listener.results)
    return json.dumps({"holds": holds, "checks": listener.results}, indent=1)


def calibrate(listener: Listener, path: Path) -> tuple[Measurement, ...]:
    """Add what a run saw models take of cards to a file of measurements; what of it was news.

    Raises:
        FleetError: the file cannot be read or written.
    """
    return calibration.append(path, listener.fleet.measurements(f"{datetime.now(UTC):%Y-%m-%d}"))
