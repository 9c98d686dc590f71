"""The one test that every check runs in; `inferfleet verify` and `pytest tests/verify` share it."""

import pytest

from inferfleet.checks.base import UNREACHED, Check
from inferfleet.checks.plugin import TargetOf


def test_fleet(check: Check, target_of: TargetOf) -> None:
    """The sentence holds."""
    try:
        wrong = check.wrong(target_of(check.node))
    except Exception as error:
        wrong = f"{UNREACHED}: {' '.join(str(error).split())[:300]}"
    if wrong:
        pytest.fail(f"{check}: no, {wrong}", pytrace=False)
