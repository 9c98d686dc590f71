"""What the store must hold, and in which order it is made."""

from typing import Any

import pytest

from inferfleet.engines.ollama_store import Entry, entries
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from tests.spec.inventories import DIGEST, Hosts, models

MIRROR = "http://mirror.example.net"
PIN = f"sha256:{DIGEST}"
FILE: dict[str, Any] = {"source": "file:/srv/x.gguf", "sha256": DIGEST}


def _entries(hosts: Hosts, registry: str | None = None) -> tuple[Entry, ...]:
    return entries(make_plan(parse_fleet(hosts)).nodes[0].models, registry)


def _short(entry: Entry) -> str:
    pinned = " pinned" if entry.pin else ""
    return f"{entry.how} {entry.name} < {entry.origin}{pinned}"


CASES: dict[str, tuple[Hosts, list[str]]] = {
    "plain": (models(llama2={}), ["pull llama2:latest < llama2:latest"]),
    "plain and pinned": (models(llama2={"pin": PIN}), ["pull llama2:latest < llama2:latest pinned"]),
    "under another name": (models(chat={"source": "llama2:7b"}), ["pull chat:latest < llama2:7b"]),
    "from a file": (models(own=FILE), ["file own:latest < file:/srv/x.gguf"]),
    "customised": (
        models(brief={"source": "llama2", "system": "Be brief."}),
        ["pull llama2:latest < llama2:latest", "create brief:latest < llama2:latest"],
    ),
    "customised and pinned: its source is": (
        models(brief={"source": "llama2", "system": "Be brief.", "pin": PIN}),
        ["pull llama2:latest < llama2:latest pinned", "create brief:latest < llama2:latest"],
    ),
    "source declared after it": (
        models(brief={"source": "llama2", "system": "Be brief."}, llama2={"pin": PIN}),
        ["pull llama2:latest < llama2:latest pinned", "create brief:latest < llama2:latest"],
    ),
    "source declared before it, pinned by it": (
        models(llama2={}, brief={"source": "llama2", "system": "Be brief.", "pin": PIN}),
        ["pull llama2:latest < llama2:latest pinned", "create brief:latest < llama2:latest"],
    ),
    "two from one source": (
        models(a={"source": "x", "system": "A"}, b={"source": "x", "system": "B"}),
        ["pull x:latest < x:latest", "create a:latest < x:latest", "create b:latest < x:latest"],
    ),
    "from one made here, declared after it": (
        models(b={"source": "a", "system": "B"}, a={"source": "x", "system": "A"}),
        ["pull x:latest < x:latest", "create a:latest < x:latest", "create b:latest < a:latest"],
    ),
    "another name for one from a file": (
        models(chat={"source": "own"}, own=FILE),
        ["file own:latest < file:/srv/x.gguf", "create chat:latest < own:latest"],
    ),
    "from a file, pinned": (
        models(chat={"source": "own", "pin": PIN}, own=FILE),
        ["file own:latest < file:/srv/x.gguf", "create chat:latest < own:latest pinned"],
    ),
    "from a file, customised": (models(own={**FILE, "system": "x"}), ["file own:latest < file:/srv/x.gguf"]),
}


@pytest.mark.parametrize(("hosts", "expected"), CASES.values(), ids=CASES)
def test_entries(hosts: Hosts, expected: list[str]) -> None:
    assert [_short(entry) for entry in _entries(hosts)] == expected


@pytest.mark.parametrize(("hosts", "_"), CASES.values(), ids=CASES)
def test_each_after_what_it_is_made_from(hosts: Hosts, _: list[str]) -> None:
    found = _entries(hosts)
    for position, entry in enumerate(found):
        if entry.how == "create":
            assert entry.origin in [earlier.name for earlier in found[:position]]


def test_mirror() -> None:
    """A name that says its registry itself is not asked of the mirror; nor is what is made here."""
    hosts = models(llama2={}, **{"team/chat": {}, "hf.co/a/b:q4": {}}, brief={"source": "x", "system": "s"}, own=FILE)
    assert {entry.name: entry.mirror for entry in _entries(hosts, MIRROR)} == {
        "llama2:latest": MIRROR,
        "team/chat:latest": MIRROR,
        "hf.co/a/b:q4": None,
        "x:latest": MIRROR,
        "brief:latest": None,
        "own:latest": None,
    }


def test_is_plain() -> None:
    found = {e.name: e.is_plain for e in _entries(models(llama2={}, chat={"source": "llama2"}, own=FILE))}
    assert found == {"llama2:latest": True, "chat:latest": False, "own:latest": False}


def _recipe(**settings: Any) -> str:
    return _entries(models(m={"source": "x", "system": "s", **settings}))[-1].recipe


@pytest.mark.parametrize(
    "settings",
    [{"system": "t"}, {"template": "{{ .Prompt }}"}, {"parameters": {"seed": 1}}, {"source": "y"}, FILE],
    ids=str,
)
def test_other_settings_other_recipe(settings: dict[str, Any]) -> None:
    assert _recipe(**settings) != _recipe()


@pytest.mark.parametrize("settings", [{}, {"pin": PIN}, {"expect": {"a": "b"}}, {"replicas": 1}], ids=str)
def test_same_recipe(settings: dict[str, Any]) -> None:
    """What does not change the model does not make it anew."""
    assert _recipe(**settings) == _recipe()


def test_a_mirror_makes_no_other_model() -> None:
    hosts = models(chat={"source": "llama2"})
    assert _entries(hosts, MIRROR)[0].recipe == _entries(hosts, None)[0].recipe


def test_parameters_in_another_order_make_no_other_model() -> None:
    one, two = {"seed": 1, "top_k": 2}, {"top_k": 2, "seed": 1}
    assert _recipe(parameters=one) == _recipe(parameters=two)
