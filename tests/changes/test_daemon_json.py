"""daemon.json: other people's keys stay, ours come and go back."""

import json
from typing import Any

import pytest

from inferfleet.changes.daemon_json import Merged, Notes, merge, parse

Content = dict[str, Any]


def both(found: Content, wanted: Content, notes: Notes | None = None) -> tuple[Content, Notes]:
    merged = merge(found, wanted, notes or {})
    return merged.content, merged.ours


def there_and_back(theirs: Content, wanted: Content) -> Content:
    """Declared once, declared no longer."""
    content, notes = both(theirs, wanted)
    assert both(content, wanted, notes) == (content, notes), "a second time alters nothing"
    return both(content, {}, notes)[0]


@pytest.mark.parametrize(
    ("theirs", "wanted", "expected"),
    [
        ({}, {"ip": "127.0.0.1"}, {"ip": "127.0.0.1"}),
        ({"debug": True}, {"ip": "127.0.0.1"}, {"debug": True, "ip": "127.0.0.1"}),
        ({"ip": "0.0.0.0"}, {"ip": "127.0.0.1"}, {"ip": "127.0.0.1"}),
        ({"features": {"x": True}}, {"features.cdi": True}, {"features": {"x": True, "cdi": True}}),
        ({"features": {"cdi": False}}, {"features.cdi": True}, {"features": {"cdi": True}}),
        ({"insecure-registries": ["a"]}, {"insecure-registries": ["b"]}, {"insecure-registries": ["a", "b"]}),
        ({"insecure-registries": ["a"]}, {"insecure-registries": ["a"]}, {"insecure-registries": ["a"]}),
        ({"insecure-registries": []}, {"insecure-registries": ["a"]}, {"insecure-registries": ["a"]}),
    ],
)
def test_merge_and_back(theirs: Content, wanted: Content, expected: Content) -> None:
    assert both(theirs, wanted)[0] == expected
    assert there_and_back(theirs, wanted) == theirs


def test_log_options_of_another_driver_go_and_come_back() -> None:
    theirs = {"log-driver": "syslog", "log-opts": {"syslog-address": "x"}}
    wanted = {"log-driver": "local", "log-opts": {"max-size": "1m"}}
    assert both(theirs, wanted)[0] == wanted
    assert there_and_back(theirs, wanted) == theirs


def test_log_options_of_the_same_driver_stay() -> None:
    theirs = {"log-driver": "local", "log-opts": {"compress": "false", "max-size": "9m"}}
    wanted = {"log-driver": "local", "log-opts": {"max-size": "1m"}}
    assert both(theirs, wanted)[0]["log-opts"] == {"compress": "false", "max-size": "1m"}
    assert there_and_back(theirs, wanted) == theirs


def test_what_somebody_changed_since_is_theirs() -> None:
    content, notes = both({}, {"ip": "127.0.0.1", "registry-mirrors": ["a"]})
    content |= {"ip": "10.0.0.1", "registry-mirrors": ["b", "a", "c"]}
    assert both(content, {}, notes) == ({"ip": "10.0.0.1", "registry-mirrors": ["b", "c"]}, {})


def test_what_they_had_already_is_not_ours() -> None:
    assert both({"ip": "127.0.0.1"}, {"ip": "127.0.0.1"}) == ({"ip": "127.0.0.1"}, {})


def test_one_entry_of_ours_less() -> None:
    content, notes = both({"insecure-registries": ["a"]}, {"insecure-registries": ["b", "c"]})
    assert both(content, {"insecure-registries": ["c"]}, notes) == (
        {"insecure-registries": ["a", "c"]},
        {"insecure-registries": {"before": ["a"], "set": ["c"]}},
    )


def test_a_run_that_died_before_it_wrote_the_file() -> None:
    """The note is there, the file is as before: the same is merged again, and the same goes back."""
    theirs, wanted = {"ip": "0.0.0.0", "features": {"cdi": False}}, {"ip": "127.0.0.1", "features.cdi": True}
    content, notes = both(theirs, wanted)
    assert both(theirs, wanted, notes) == (content, notes)
    assert both(theirs, {}, notes)[0] == theirs


def test_order_of_others_is_kept() -> None:
    merged = merge({"z": 1, "a": 2}, {"ip": "127.0.0.1"}, {})
    assert list(merged.content) == ["z", "a", "ip"]
    assert json.loads(merged.text) == merged.content
    assert isinstance(merged, Merged)
    assert merged.changed == ("ip",)


@pytest.mark.parametrize(("text", "content"), [(None, {}), ("", {}), (" \n", {}), ('\ufeff{"a": 1}', {"a": 1})])
def test_parse(text: str | None, content: Content) -> None:
    assert parse(text) == content
