"""`inferfleet verify`: run the checks through pytest, and say what holds, sentence by sentence."""

import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from inferfleet.checks.base import UNREACHED

__all__ = ["UNREACHED", "Listener", "as_json", "verify"]


class Listener:
    """Collects what pytest reports, and hands on each sentence as soon as it is known."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self.results: list[dict[str, Any]] = []
        self.broken = ""
        self._say = say

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

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """An inventory with mistakes fails while its checks are collected."""
        if report.failed:
            self.broken = str(report.longrepr)


def verify(inventory: str, say: Callable[[str, str], None], junit: Path | None = None) -> Listener:
    """Run every check of the fleet.

    Args:
        inventory: path of the inventory file.
        say: told each sentence and, where it does not hold, why.
        junit: where to write a JUnit report.
    """
    listener = Listener(say)
    tests = str(files("inferfleet.checks") / "fleet_test.py")
    options = [
        "--inventory",
        inventory,
        "-p",
        "no:terminal",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-c",
        os.devnull,
    ]
    # The plugin may already be named by the project's own pytest settings, which `-c` leaves out.
    options += ["-p", "inferfleet.checks.plugin", "--rootdir", str(Path(tests).parent)]
    if junit:
        options.append(f"--junitxml={junit}")
    pytest.main([tests, *options], plugins=[listener])
    return listener


def as_json(listener: Listener) -> str:
    """The results as JSON: a list of checks, and whether all hold."""
    holds = bool(listener.results) and all(result["holds"] for result in listener.results)
    return json.dumps({"holds": holds, "checks": listener.results}, indent=1)
