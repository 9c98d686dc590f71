"""Tests of one file share its hosts, so they stay together where several processes run them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("lab"):
            # Those of tests/ssh also share names below /tmp (pyinfra's uploads are called after their target).
            group = "ssh" if item.path.parent.name == "ssh" else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))
