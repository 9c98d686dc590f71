"""What the remote scripts are told: no more than what the effects announce, and enough to bring them about."""

from typing import Any

import pytest

from inferfleet import changes
from inferfleet.engines.ollama_host import OllamaHost
from tests.changes.states import GONE, MODELS, VERSION, declared, digest, spoiled, state_of
from tests.spec.inventories import OLLAMA, fleet, models

HOST = declared()
PIN = digest("f")
PINNED = declared(models(llama2={"pin": PIN}))
THEIRS = "/etc/systemd/system/ollama.service"


def _restarts(host: OllamaHost, state: dict[str, Any]) -> list[str]:
    return [name for name, _ in changes.services(host, state).work["restart"]]


def test_only_the_instance_that_differs_is_restarted() -> None:
    state = spoiled(state_of(HOST), ("units|ollama-gpu1|environment|OLLAMA_HOST", "x"))
    assert _restarts(HOST, state) == ["ollama-gpu1"]
    assert _restarts(HOST, state_of(HOST)) == []


def test_a_file_that_differs_restarts_nothing_by_itself() -> None:
    """The process decides: it was started with what is declared, so the file alone is put right."""
    state = spoiled(state_of(HOST), ("units|ollama-gpu0|drop_in", "x"), ("units|ollama-gpu0|file", "y"))
    found = changes.services(HOST, state)
    assert found.work["restart"] == []
    assert [(change.before, change.after) for change in found.files] == [
        ("x", HOST.services[0].drop_in),
        ("y", HOST.services[0].unit),
    ]


def test_a_process_from_before_a_crash_is_restarted_though_its_files_are_right() -> None:
    """A run that died between writing and restarting is healed by the next one."""
    before = declared(fleet(gpus=["A30", "A30"], engines={"ollama": {**OLLAMA, "context": 2048}}, models={}))
    after = declared(fleet(gpus=["A30", "A30"], models={}))
    state = state_of(after)
    for service in before.services:
        state["units"][service.name]["environment"] = dict(service.environment)
    found = changes.services(after, state)
    assert found.files == ()
    assert [name for name, _ in found.work["restart"]] == ["ollama-gpu0", "ollama-gpu1"]


def test_all_unit_files_are_ours() -> None:
    work = changes.services(HOST, state_of(HOST)).work
    assert work["files"] == {
        **{service.drop_in_path: service.drop_in for service in HOST.services},
        **{service.unit_path: service.unit for service in HOST.services},
    }
    assert (work["links"], work["enable"]) == ({}, ["ollama-gpu0", "ollama-gpu1"])


@pytest.mark.parametrize("stranger", [THEIRS, "/usr/lib/systemd/system/ollama.service"])
def test_a_stranger_of_our_name_keeps_its_file(stranger: str) -> None:
    """An `ollama.service` that is not ours gets our drop-in, and its own file stays as it is."""
    host = declared(fleet(engines={"ollama": {**OLLAMA, "per": "node"}}))
    state = spoiled(
        state_of(host),
        ("stranger", stranger),
        ("units|ollama|file", "[Service]\nExecStart=/usr/local/bin/ollama serve\n"),
        ("units|ollama|drop_in", None),
        ("units|ollama|drop_in_owner", None),
        ("units|ollama|executable", "/usr/local/bin/ollama"),
    )
    found = changes.services(host, state)
    assert list(found.work["files"]) == [host.services[0].drop_in_path]
    assert found.work["links"] == {}
    assert found.work["enable"] == ["ollama"]
    assert [effect.kind for effect in found.effects] == ["write", "restart"]


def test_a_stranger_becomes_the_first_instance() -> None:
    state = spoiled(state_of(HOST), ("stranger", THEIRS), ("units|ollama-gpu0|file", None))
    found = changes.services(HOST, state)
    first, second = HOST.services
    assert found.work["links"] == {first.unit_path: THEIRS}
    assert first.unit_path not in found.work["files"]
    assert second.unit_path in found.work["files"]
    assert [(change.path, change.after) for change in found.files] == [(first.unit_path, f"-> {THEIRS}\n")]
    linked = spoiled(state, ("units|ollama-gpu0|link", THEIRS), ("units|ollama-gpu0|enabled", "alias"))
    assert changes.services(HOST, linked).effects == ()


def _orders(host: OllamaHost, state: dict[str, Any]) -> dict[str, bool]:
    return {order["name"]: order["ours"] for order in changes.models(host, state).work["bring"]}


def test_what_was_there_before_us_never_becomes_ours() -> None:
    """What we did not bring is not removed by us when it is declared no longer."""
    by_hand = spoiled(state_of(HOST), ("record|models|chat:latest", GONE))
    assert _orders(HOST, by_hand) == {"chat:latest": False}
    missing = spoiled(state_of(HOST), ("models|own:latest", GONE))
    assert _orders(HOST, missing) == {"own:latest": True}
    again = spoiled(
        state_of(HOST), ("record|models|own:latest|ours", False), ("models|own:latest|manifest", digest("z"))
    )
    assert _orders(HOST, again) == {"own:latest": False}


def test_only_corrupt_blobs_are_removed() -> None:
    """One that is missing cannot be, and one of a model that is not brought again must not be."""
    broken = {digest("d"): "corrupt", digest("e"): "missing"}
    state = spoiled(state_of(HOST), ("models|own:latest|broken", broken))
    assert changes.models(HOST, state).work["broken"] == [digest("d")]


def test_gone_models_are_removed_or_forgotten() -> None:
    entry = {"recipe": "x", "manifest": "y", "ours": True}
    state = spoiled(
        state_of(HOST),
        ("record|models|here:latest", entry),
        ("models|here:latest", None),
        ("record|models|away:latest", entry),
    )
    work = changes.models(HOST, state).work
    assert (work["remove"], work["forget"]) == (["here:latest"], ["away:latest"])


@pytest.mark.parametrize(
    ("manifest", "weights", "effects"),
    [
        (PIN, digest("w"), []),
        (digest("m"), PIN, []),
        (digest("m"), digest("w"), [f"fetch llama2:latest: is {digest('m')[:19]}, pinned to {PIN[:19]}"]),
    ],
    ids=["manifest", "weights", "neither"],
)
def test_pins(manifest: str, weights: str, effects: list[str]) -> None:
    state = spoiled(
        state_of(PINNED), ("models|llama2:latest|manifest", manifest), ("models|llama2:latest|weights", [weights])
    )
    found = [str(effect) for effect in changes.models(PINNED, state).effects if effect.kind != "load"]
    assert found == effects


def test_release_keeps_the_way_back() -> None:
    old = {"damaged": None, "unpacked": 10.0}
    state = spoiled(
        state_of(HOST),
        ("release|current", "0.32.14"),
        *((f"release|versions|{v}", old) for v in ("0.32.13", "0.32.14")),
    )
    work = changes.release(HOST, state).work
    assert (work["unpack"], work["keep"]) == (False, ["0.32.14", VERSION])


def test_a_damaged_release_is_unpacked_again() -> None:
    state = spoiled(state_of(HOST), (f"release|versions|{VERSION}|damaged", "bin/ollama"))
    assert changes.release(HOST, state).work["unpack"] is True


def test_nothing_is_loaded_where_models_come_and_go() -> None:
    host = declared(fleet(engines={"ollama": {**OLLAMA, "keep_alive": "5m"}}))
    state = spoiled(state_of(host), ("loaded|ollama-gpu0", {}))
    assert changes.models(host, state).effects == ()


def test_the_question_names_all_that_is_declared() -> None:
    question = HOST.question
    assert question["units"] == ["ollama-gpu0", "ollama-gpu1"]
    assert question["models"] == [entry.name for entry in HOST.store]
    assert question["addresses"] == {service.name: service.address for service in HOST.services}


def test_one_of_ours_that_a_stranger_is_to_be_is_restarted() -> None:
    """Upstream's installer was run after us: the two would fight for the port."""
    found = changes.services(HOST, spoiled(state_of(HOST), ("stranger", THEIRS)))
    assert [name for name, _ in found.work["restart"]] == ["ollama-gpu0"]


def test_an_address_that_the_host_has_not_is_refused_once() -> None:
    found = changes.services(HOST, spoiled(state_of(HOST), ("away", ["127.0.0.1"])))
    (effect,) = found.effects
    assert effect.kind == "refuse" and effect.why.startswith("host 127.0.0.1 is declared, and no interface of it has")
    assert found.work == {"restart": []}


def test_a_refused_host_is_told_nothing() -> None:
    state = spoiled(state_of(HOST), ("units|ollama-gpu0|foreign", True), ("units|ollama-gpu0|drop_in", None))
    assert changes.services(HOST, state).work == {"restart": []}
    assert changes.models(HOST, state).effects == ()


@pytest.mark.parametrize(("room", "stay"), [(16, 3), (3, 3), (2, 0)])
def test_models_that_take_turns_are_not_loaded(room: int, stay: int) -> None:
    """Where not all may be in memory at once, each load would drive out another, and no run would be the last."""
    host = declared(fleet(gpus=["A30"], models=MODELS, engines={"ollama": {**OLLAMA, "max_loaded_models": room}}))
    assert len(host.servers[0].preload) == stay
    work = changes.models(host, spoiled(state_of(host), ("loaded|ollama-gpu0", {}))).work
    assert work["stay"] == ({"ollama-gpu0": list(host.servers[0].preload)} if stay else {})


def test_what_was_hashed_for_the_answer_is_handed_on() -> None:
    state = spoiled(state_of(HOST), ("models|own:latest|new", {digest("d"): [1, 2]}), ("models|theirs:latest", None))
    assert changes.models(HOST, state).work["checked"] == {digest("d"): [1, 2]}


@pytest.mark.parametrize("stranger", [None, THEIRS])
def test_a_node_that_runs_nothing_any_longer(stranger: str | None) -> None:
    """Ours go; an Ollama of somebody else is none of our business there."""
    host = declared(fleet(instances=[], models={}))
    assert host.services == ()
    state = spoiled(state_of(HOST), ("stranger", stranger))
    found = changes.services(host, state)
    assert [str(effect) for effect in found.effects] == [
        f"remove ollama-gpu{n}: is no longer declared (cuts its requests)" for n in (0, 1)
    ]
    assert (found.work["files"], found.work["enable"], found.work["remove"]) == ({}, [], ["ollama-gpu0", "ollama-gpu1"])
    assert changes.services(host, spoiled(state, ("ours", []))).effects == ()
    assert changes.services(host, {}).effects == ()
