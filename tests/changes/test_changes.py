"""State in, effects out: a case for every reason that a change can have."""

from collections.abc import Callable
from typing import Any

import pytest

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.ollama_host import OllamaHost
from tests.changes.states import GONE, VERSION, Spoil, declared, digest, spoiled, state_of

Compare = Callable[[OllamaHost, dict[str, Any]], Changes]
HOST = declared()
UNIT = "/etc/systemd/system/ollama-gpu0.service"
DROP_IN = f"{UNIT}.d/zz-inferfleet.conf"
STORE = "/usr/share/ollama/.ollama/models"
RECORD = "/var/lib/inferfleet/ollama.json"
BASE = "https://github.com/ollama/ollama/releases/download"
CUTS = " (cuts its requests)"

ACCOUNT: dict[str, tuple[list[Spoil], list[str]]] = {
    "no user": ([("user", None)], ["create user ollama: is missing"]),
    "user of before without the cards' groups": (
        [("user|outside", ["render", "video"])],
        ["repair user ollama: is not in render and video, which may open cards"],
    ),
    "no home": ([("directories|/usr/share/ollama", None)], ["create /usr/share/ollama: is missing"]),
    "no store": ([(f"directories|{STORE}", None)], [f"create {STORE}: is missing"]),
    "store of another": (
        [(f"directories|{STORE}", {"owner": "root", "mode": "755"})],
        [f"repair {STORE}: belongs to root"],
    ),
    "store closed to its owner": (
        [(f"directories|{STORE}", {"owner": "ollama", "mode": "555"})],
        [f"repair {STORE}: has mode 555"],
    ),
    "a file of another": (
        [("misowned", f"{STORE}/blobs/sha256-x")],
        [f"repair {STORE}: {STORE}/blobs/sha256-x does not belong to ollama"],
    ),
}
OLD = {"damaged": None, "unpacked": 10.0}
OLDER = {"damaged": None, "unpacked": 5.0}
RELEASE: dict[str, tuple[list[Spoil], list[str]]] = {
    "nothing there": (
        [("release", {"current": None, "versions": {}})],
        [f"fetch Ollama {VERSION}: is not on the host; from {BASE}", f"install Ollama {VERSION}: live is none"],
    ),
    "another version is live": (
        [("release", {"current": "0.32.14", "versions": {"0.32.14": OLD}})],
        [f"fetch Ollama {VERSION}: is not on the host; from {BASE}", f"install Ollama {VERSION}: live is 0.32.14"],
    ),
    "killed before it was made live": (
        [("release|current", "0.32.14"), ("release|versions|0.32.14", OLD)],
        [f"install Ollama {VERSION}: live is 0.32.14"],
    ),
    "a file was changed": (
        [(f"release|versions|{VERSION}|damaged", "lib/ollama/libggml.so")],
        [f"fetch Ollama {VERSION}: lib/ollama/libggml.so was changed or removed"],
    ),
    "the one before the previous": (
        [("release|versions|0.32.14", OLD), ("release|versions|0.32.13", OLDER)],
        ["remove Ollama 0.32.13: is older than the previous one"],
    ),
    "the previous stays": ([("release|versions|0.32.14", OLD)], []),
}
ENV = "units|ollama-gpu0|environment"
SERVICES: dict[str, tuple[list[Spoil], list[str]]] = {
    "no unit": (
        [("units|ollama-gpu0|file", None), ("units|ollama-gpu0|file_owner", None)],
        [f"write {UNIT}: is missing"],
    ),
    "unit edited": (
        [("units|ollama-gpu0|file", "[Service]\n")],
        [f"write {UNIT}: differs from what is declared"],
    ),
    "no drop-in": (
        [("units|ollama-gpu0|drop_in", None), ("units|ollama-gpu0|drop_in_owner", None)],
        [f"write {DROP_IN}: is missing"],
    ),
    "drop-in edited": (
        [("units|ollama-gpu0|drop_in", "[Service]\n")],
        [f"write {DROP_IN}: differs from what is declared"],
    ),
    "drop-in writable by others": (
        [("units|ollama-gpu0|drop_in_owner", {"owner": "root", "mode": "666"})],
        [f"write {DROP_IN}: owner or mode is wrong"],
    ),
    "unit of another": (
        [("units|ollama-gpu0|file_owner", {"owner": "ollama", "mode": "644"})],
        [f"write {UNIT}: owner or mode is wrong"],
    ),
    "masked": ([("units|ollama-gpu0|load", "masked")], ["repair ollama-gpu0: is masked"]),
    "not enabled": ([("units|ollama-gpu0|enabled", "disabled")], ["enable ollama-gpu0: does not start at boot"]),
    "systemd is behind": (
        [("units|ollama-gpu0|stale", True)],
        ["repair ollama-gpu0: systemd has not read its files since they changed"],
    ),
    "stopped": ([("units|ollama-gpu0|active", "inactive")], ["start ollama-gpu0: is inactive"]),
    "failed": ([("units|ollama-gpu0|active", "failed")], ["start ollama-gpu0: is failed"]),
    "runs another release": (
        [("units|ollama-gpu0|executable", "/opt/inferfleet/ollama/0.32.14/bin/ollama")],
        [f"restart ollama-gpu0: runs /opt/inferfleet/ollama/0.32.14/bin/ollama, declared is {VERSION}{CUTS}"],
    ),
    "runs something deleted": (
        [("units|ollama-gpu0|executable", f"/opt/inferfleet/ollama/{VERSION}/bin/ollama (deleted)")],
        [
            f"restart ollama-gpu0: runs /opt/inferfleet/ollama/{VERSION}/bin/ollama (deleted), "
            f"declared is {VERSION}{CUTS}"
        ],
    ),
    "died while it was asked": (
        [("units|ollama-gpu0|executable", None)],
        [f"restart ollama-gpu0: runs an unknown program, declared is {VERSION}{CUTS}"],
    ),
    "started with another value": (
        [(f"{ENV}|OLLAMA_CONTEXT_LENGTH", "2048")],
        [f"restart ollama-gpu0: was started with OLLAMA_CONTEXT_LENGTH=2048, declared is 4096{CUTS}"],
    ),
    "started without it": (
        [(f"{ENV}|OLLAMA_NOPRUNE", GONE)],
        [f"restart ollama-gpu0: was started with OLLAMA_NOPRUNE=(unset), declared is 1{CUTS}"],
    ),
    "started before the last change": (
        [(f"{ENV}|INFERFLEET_SPEC", "0" * 16)],
        [
            "restart ollama-gpu0: was started with INFERFLEET_SPEC=0000000000000000, declared is "
            f"{HOST.services[0].environment['INFERFLEET_SPEC']}{CUTS}"
        ],
    ),
    "answers as another": (
        [("version|ollama-gpu0", "0.1.0")],
        [f"restart ollama-gpu0: answers as 0.1.0{CUTS}"],
    ),
    "does not answer": (
        [("version|ollama-gpu0", None)],
        [f"restart ollama-gpu0: does not answer at 127.0.0.1:11434{CUTS}"],
    ),
    "runs from another disk": (
        [
            ("release|root", "/data/opt/inferfleet/ollama"),
            *((f"units|ollama-gpu{n}|executable", f"/data/opt/inferfleet/ollama/{VERSION}/bin/ollama") for n in (0, 1)),
        ],
        [],
    ),
    "the name of another program": (
        [("units|ollama-gpu0|foreign", True), ("units|ollama-gpu0|drop_in", None)],
        ["refuse this host: ollama-gpu0.service is another program's; give the instance another `name`"],
    ),
    "one of ours that was edited is no other program": ([("units|ollama-gpu0|foreign", True)], []),
    "one no longer declared": (
        [("ours", ["ollama-gpu0", "ollama-gpu1", "ollama-gpu7"])],
        [f"remove ollama-gpu7: is no longer declared{CUTS}"],
    ),
}
MODELS: dict[str, tuple[list[Spoil], list[str]]] = {
    "missing": (
        [("models|llama2:latest", GONE)],
        [
            "fetch llama2:latest: is missing",
            *(f"load llama2:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "blob corrupt": (
        [("models|own:latest|broken", {digest("d"): "corrupt"})],
        [
            f"fetch own:latest: {digest('d')[:19]} is corrupt",
            *(f"load own:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "source missing: what is made from it is made anew": (
        [("models|base:latest", GONE)],
        [
            "fetch base:latest: is missing",
            "create chat:latest: is made from base:latest",
            *(f"load chat:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "made from other settings": (
        [("record|models|chat:latest|recipe", "x")],
        [
            "create chat:latest: was made from other settings",
            *(f"load chat:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "killed while it was made": (
        [("record|models|chat:latest|recipe", None)],
        [
            "create chat:latest: was made from other settings",
            *(f"load chat:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "changed since": (
        [("models|own:latest|manifest", digest("z"))],
        [
            "fetch own:latest: was changed since it was made",
            *(f"load own:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "made by hand": (
        [("record|models|chat:latest", GONE)],
        [
            "create chat:latest: is there, but not known to be made as declared",
            *(f"load chat:latest on ollama-gpu{n}: is not in memory" for n in (0, 1)),
        ],
    ),
    "a plain one pulled by hand will do": ([("record|models|llama2:latest", GONE)], []),
    "no longer declared": (
        [("models|old:latest", None), ("record|models|old:latest", {"recipe": "x", "manifest": "y", "ours": True})],
        ["remove old:latest: is no longer declared"],
    ),
    "not declared, but somebody else's": (
        [("models|old:latest", None), ("record|models|old:latest", {"recipe": "x", "manifest": "y", "ours": False})],
        [],
    ),
    "not declared and never ours": ([("models|old:latest", None)], []),
    "recorded, removed by hand": (
        [("record|models|old:latest", {"recipe": "x", "manifest": "y", "ours": True})],
        [f"write {RECORD}: old:latest is recorded, but neither declared nor there"],
    ),
    "not in memory": (
        [("loaded|ollama-gpu1|own:latest", GONE)],
        ["load own:latest on ollama-gpu1: is not in memory"],
    ),
    "an instance does not answer": (
        [("loaded|ollama-gpu1", None)],
        [f"load {name}:latest on ollama-gpu1: is not in memory" for name in ("llama2", "chat", "own")],
    ),
    "in memory under a name with the same weights": (
        [("loaded|ollama-gpu1|own:latest", GONE), ("models|own:latest|weights", [digest("L")])],
        [],
    ),
    "blobs never hashed": (
        [("models|own:latest|new", {digest("d"): [1], digest("e"): [2]})],
        [f"write {RECORD}: 2 blobs were not checked before"],
    ),
}
ALL: list[tuple[Compare, dict[str, tuple[list[Spoil], list[str]]]]] = [
    (changes.account, ACCOUNT),
    (changes.release, RELEASE),
    (changes.services, SERVICES),
    (changes.models, MODELS),
]
CASES = [(compare, *case) for compare, table in ALL for case in table.values()]
IDS = [f"{compare.__name__}: {name}" for compare, table in ALL for name in table]


def _effects(compare: Compare, host: OllamaHost, state: dict[str, Any]) -> list[str]:
    return [str(effect) for effect in compare(host, state).effects]


@pytest.mark.parametrize(("compare", "spoils", "effects"), CASES, ids=IDS)
def test_effects(compare: Compare, spoils: list[Spoil], effects: list[str]) -> None:
    assert _effects(compare, HOST, spoiled(state_of(HOST), *spoils)) == effects


@pytest.mark.parametrize("compare", [compare for compare, _ in ALL], ids=[compare.__name__ for compare, _ in ALL])
def test_as_declared(compare: Compare) -> None:
    found = compare(HOST, state_of(HOST))
    assert (found.effects, found.files) == ((), ())


@pytest.mark.parametrize(("compare", "table"), ALL, ids=[compare.__name__ for compare, _ in ALL])
def test_a_spoiled_noun_is_no_business_of_the_others(
    compare: Compare, table: dict[str, tuple[list[Spoil], list[str]]]
) -> None:
    """What an operation mends, no other one speaks of: nothing is done twice. A restart empties the memory, though."""
    for spoils, effects in table.values():
        others = [other for other, _ in ALL if other is not compare]
        if effects:
            said = [text for other in others for text in _effects(other, HOST, spoiled(state_of(HOST), *spoils))]
            assert [text for text in said if compare is not changes.services or not text.startswith("load ")] == []


def test_a_restart_says_that_its_models_are_loaded_again() -> None:
    spoils, effects = next(case for case in SERVICES.values() if any(text.startswith("restart") for text in case[1]))
    restarted = next(text for text in effects if text.startswith("restart")).split()[1].rstrip(":")
    said = _effects(changes.models, HOST, spoiled(state_of(HOST), *spoils))
    assert said
    assert all(f" on {restarted}: is not in memory" in text for text in said)


def test_bare_host() -> None:
    """A host without python3 cannot answer; everything is missing there."""
    assert _effects(changes.account, HOST, {}) == [
        "create user ollama: is missing",
        "create /usr/share/ollama: is missing",
        f"create {STORE}: is missing",
    ]
    assert len(_effects(changes.release, HOST, {})) == 2
    kinds = [effect.kind for effect in changes.services(HOST, {}).effects]
    assert kinds == ["write", "write", "enable", "start"] * 2
    kinds = [effect.kind for effect in changes.models(HOST, {}).effects]
    assert kinds == ["fetch", "fetch", "create", "fetch"] + ["load"] * 6
