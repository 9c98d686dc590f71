"""A host's containers against what is declared: each difference is one effect in words, and nothing else moves."""

from dataclasses import replace
from typing import Any

import pytest

from inferfleet import changes
from inferfleet.containers import containers_of
from inferfleet.engines.container_host import Container
from inferfleet.plan import make_plan
from inferfleet.services import ollama_host
from inferfleet.spec import parse_fleet
from tests.changes.states import GONE, spoiled
from tests.spec.inventories import OLLAMA, UUID, fleet

ID, OTHER_ID = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CARDS = [{"model": "A30", "uuid": UUID.format(n)} for n in (1, 2)]
(NODE,) = make_plan(parse_fleet(fleet(gpus=CARDS, engines={"ollama": {**OLLAMA, "runtime": "docker"}}))).nodes
DECLARED = containers_of(NODE, NODE.gpus)
FIRST, SECOND = DECLARED
RENAME = "give the instance another `name`"
CUTS = " (cuts its requests)"


def state_of(declared: tuple[Container, ...]) -> dict[str, Any]:
    """What a host says on which all is as declared."""
    return {
        "user": "998:997",
        "docker": None,
        "units": {
            c.name: {
                "file": c.unit.replace("@user@", "998:997"),
                "file_owner": {"owner": "root", "mode": "644"},
                "environment": c.environment,
                "environment_owner": {"owner": "root", "mode": "600"},
                "load": "loaded",
                "foreign": False,
                "enabled": "enabled",
                "active": "active",
                "stale": False,
                "command": [word.replace("@user@", "998:997") for word in c.command],
            }
            for c in declared
        },
        "containers": {
            c.name: {
                "ours": True,
                "spec": c.digest,
                "running": True,
                "image": ID,
                "reference": c.image.runs,
                "devices": list(c.devices),
                "environment": {"PATH": "/usr/bin", **dict(line.split("=", 1) for line in c.environment.splitlines())},
                "of_image": {"PATH": "/usr/bin", "OLLAMA_HOST": "0.0.0.0:11434"},
            }
            for c in declared
        },
        "ports": {},
        "images": {"found": {c.image.runs: {"id": ID} for c in declared}},
        "version": {c.name: c.version for c in declared},
    }


def _said(state: dict[str, Any]) -> list[str]:
    return list(map(str, changes.containers(DECLARED, state).effects))


def test_as_declared() -> None:
    found = changes.containers(DECLARED, state_of(DECLARED))
    assert found.effects == () and found.files == () and found.work["restart"] == []


UNIT = "units|ollama-gpu0"
RUNNING = "containers|ollama-gpu0"
CASES: dict[str, tuple[str, Any, list[str]]] = {
    "unit gone": (f"{UNIT}|file", None, [f"write {FIRST.unit_path}: is missing"]),
    "unit edited": (f"{UNIT}|file", "x", [f"write {FIRST.unit_path}: differs from what is declared"]),
    "unit of another owner": (
        f"{UNIT}|file_owner|mode", "666", [f"write {FIRST.unit_path}: owner or mode is wrong"],
    ),
    "environment gone": (f"{UNIT}|environment", None, [f"write {FIRST.environment_path}: is missing"]),
    "environment readable": (
        f"{UNIT}|environment_owner|mode", "644", [f"write {FIRST.environment_path}: owner or mode is wrong"],
    ),
    "disabled": (f"{UNIT}|enabled", "disabled", ["enable ollama-gpu0: does not start at boot"]),
    "masked": (f"{UNIT}|load", "masked", ["repair ollama-gpu0: is masked"]),
    "stale": (f"{UNIT}|stale", True, ["repair ollama-gpu0: systemd has not read its files since they changed"]),
    "gone": (RUNNING, GONE, ["start ollama-gpu0: its container does not run"]),
    "stopped": (f"{RUNNING}|running", False, ["start ollama-gpu0: its container does not run"]),
    "failed": (f"{UNIT}|active", "failed", [f"restart ollama-gpu0: is failed{CUTS}"]),
    "another image": (
        f"{RUNNING}|image", OTHER_ID,
        [f"restart ollama-gpu0: runs image {OTHER_ID[:19]}, declared is {ID[:19]}{CUTS}"],
    ),
    "another version": (
        "version|ollama-gpu0", "0.32.14", [f"restart ollama-gpu0: answers as 0.32.14{CUTS}"],
    ),
    "silent": (
        "version|ollama-gpu0", None, [f"restart ollama-gpu0: does not answer at 127.0.0.1:11434{CUTS}"],
    ),
    "name of another's container": (
        f"{RUNNING}|ours", False,
        [f"refuse this host: a container called ollama-gpu0 is another program's; {RENAME}, or remove it"],
    ),
    "name of another's unit": (
        f"{UNIT}|foreign", True,
        ["refuse this host: ollama-gpu0.service is another program's; give the instance another `name`"],
    ),
    "port of another": (
        "ports|11435", "nginx (pid 7, nginx.service)",
        ["refuse this host: port 11435 of ollama-gpu1 is taken by nginx (pid 7, nginx.service); "
         "give the instance another `port`, or stop that"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "effects"), CASES.values(), ids=CASES)
def test_one_difference(path: str, value: Any, effects: list[str]) -> None:
    assert _said(spoiled(state_of(DECLARED), (path, value))) == effects


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("environment|OLLAMA_NUM_PARALLEL", "4", "was started with OLLAMA_NUM_PARALLEL=4, declared is 1"),
        ("environment|OLLAMA_CONTEXT_LENGTH", GONE, "was started with OLLAMA_CONTEXT_LENGTH=(unset), declared is 4096"),
        ("devices", ["nvidia.com/gpu=all"], f"was started with nvidia.com/gpu=all, declared is {FIRST.devices[0]}"),
        ("devices", [], f"was started with no card, declared is {FIRST.devices[0]}"),
    ],
)
def test_another_setting_is_named(path: str, value: Any, says: str) -> None:
    """What a user changes is what the plan says, and it recreates that instance alone (pyinfra#1561: "No change")."""
    state = spoiled(state_of(DECLARED), (f"{RUNNING}|spec", "old"), (f"{RUNNING}|{path}", value))
    assert _said(state) == [f"restart ollama-gpu0: {says}{CUTS}"]
    assert [name for name, *_ in changes.containers(DECLARED, state).work["restart"]] == ["ollama-gpu0"]


def test_an_edited_environment_is_seen_under_the_same_label() -> None:
    """The unit is as declared and so is its label; the file beside it was another when the container started."""
    state = spoiled(state_of(DECLARED), (f"{RUNNING}|environment|OLLAMA_NUM_PARALLEL", "4"))
    assert _said(state) == [f"restart ollama-gpu0: was started with OLLAMA_NUM_PARALLEL=4, declared is 1{CUTS}"]


@pytest.mark.parametrize("spec", [FIRST.digest, "old"])
def test_a_variable_more_is_seen(spec: str) -> None:
    """What somebody added to the file and took out again, and what was declared once. Its value may be a secret."""
    spoils = (f"{RUNNING}|environment|OLLAMA_LLM_LIBRARY", "cpu"), (f"{RUNNING}|spec", spec)
    why = "was started with OLLAMA_LLM_LIBRARY, which is not declared"
    assert _said(spoiled(state_of(DECLARED), *spoils)) == [f"restart ollama-gpu0: {why}{CUTS}"]


def test_a_variable_of_the_image_under_another_value_is_seen() -> None:
    state = spoiled(state_of(DECLARED), (f"{RUNNING}|environment|PATH", "/tmp"))
    assert _said(state) == [f"restart ollama-gpu0: was started with PATH, which is not declared{CUTS}"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy"])
def test_a_proxy_that_the_client_adds_is_no_difference(name: str) -> None:
    """Nothing could ever heal it: each container that this host starts has it."""
    assert _said(spoiled(state_of(DECLARED), (f"{RUNNING}|environment|{name}", "http://proxy:3128"))) == []


def test_whose_a_variable_is_cannot_be_told_without_the_image() -> None:
    assert _said(spoiled(state_of(DECLARED), (f"{RUNNING}|of_image", None))) == []


def test_another_unit_around_the_same_command() -> None:
    """Such as one of a former version of inferfleet: the image is the declared one, and is not blamed."""
    state = spoiled(state_of(DECLARED), (f"{RUNNING}|spec", "old"))
    why = "was started under another unit than the declared one"
    assert _said(state) == [f"restart ollama-gpu0: {why}{CUTS}"]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("998:997", "0:0", "was started with 0:0 where 998:997 is declared"),
        ("max-size=10m", "max-size=1g", "was started with max-size=1g where max-size=10m is declared"),
        ("--init", "--privileged", "was started with --privileged where --init is declared"),
    ],
)
def test_another_command_is_seen_under_the_same_label(before: str, after: str, says: str) -> None:
    """An edited unit that was restarted and put back: the process still says what it was started with."""
    words = [word.replace("@user@", "998:997").replace(before, after) for word in FIRST.command]
    assert _said(spoiled(state_of(DECLARED), (f"{UNIT}|command", words))) == [f"restart ollama-gpu0: {says}{CUTS}"]


def test_an_image_of_another_name() -> None:
    words = [
        word.replace("@user@", "998:997").replace(FIRST.image.runs, "ollama/ollama:rocm") for word in FIRST.command
    ]
    spoils = (f"{UNIT}|command", words), (f"{RUNNING}|spec", "old"), (f"{RUNNING}|reference", "ollama/ollama:rocm")
    state = spoiled(state_of(DECLARED), *spoils)
    assert _said(state) == [
        f"restart ollama-gpu0: was started from ollama/ollama:rocm, declared is ollama/ollama:0.32.15{CUTS}"
    ]


def test_where_an_image_was_pulled_from_is_no_difference() -> None:
    elsewhere = "mirror.example/ollama/ollama:0.32.15"
    words = [word.replace("@user@", "998:997").replace(FIRST.image.runs, elsewhere) for word in FIRST.command]
    assert _said(spoiled(state_of(DECLARED), (f"{UNIT}|command", words), (f"{RUNNING}|reference", elsewhere))) == []


def test_an_address_that_the_host_has_not_is_refused_once() -> None:
    """Else each container is taken down for one that cannot start."""
    state = spoiled(state_of(DECLARED), ("away", ["127.0.0.1"]), ("version|ollama-gpu0", None))
    why = "host 127.0.0.1 is declared, and no interface of it has that address; correct `host` in engines.ollama"
    assert _said(state) == [f"refuse this host: {why}"]
    assert _said(spoiled(state_of(DECLARED), ("away", ["10.9.9.9"]))) == []


def test_cards_that_changed_places_are_named_once() -> None:
    moved = (f"{RUNNING}|devices", list(SECOND.devices)), ("containers|ollama-gpu1|devices", list(FIRST.devices))
    (warning,) = changes.containers(DECLARED, spoiled(state_of(DECLARED), *moved)).warnings
    assert warning.startswith("the host's cards have changed places, so ollama-gpu0, ollama-gpu1 get each other's")
    assert changes.containers(DECLARED, spoiled(state_of(DECLARED), moved[0])).warnings == ()
    assert changes.containers(DECLARED, state_of(DECLARED)).warnings == ()


def test_bare_host() -> None:
    """A host without python3 cannot answer; everything is missing there."""
    kinds = [effect.kind for effect in changes.containers(DECLARED, {}).effects]
    assert kinds == ["write", "write", "enable", "start"] * 2


def _environment_shown(before: str, after: Container) -> tuple[str | None, str | None]:
    state = spoiled(state_of(DECLARED), (f"{UNIT}|environment", before))
    (change,) = changes.containers((after, SECOND), state).files
    return change.before, change.after


def test_a_setting_that_changes_is_shown() -> None:
    before = FIRST.environment.replace("OLLAMA_NUM_PARALLEL=1", "OLLAMA_NUM_PARALLEL=4")
    assert _environment_shown(before, FIRST) == (before, FIRST.environment)


def test_no_value_of_the_users_own_is_shown() -> None:
    """Whoever reads a plan, as in CI, is not whoever may read the file."""
    declared = replace(FIRST, environment=f"{FIRST.environment}TOKEN=canary2\nSAME=canary3\n")
    before = "junk canary0\nTOKEN=canary1\nSAME=canary3\n"
    shown = _environment_shown(before, declared)
    assert "canary" not in str(shown)
    assert shown == (
        "(not shown)\nTOKEN=(not shown)\nSAME=(not shown)\n",
        f"{FIRST.environment}TOKEN=(not shown, another one)\nSAME=(not shown)\n",
    )


def test_what_is_declared_no_longer_goes() -> None:
    host = ollama_host(NODE)
    assert host.containers == ("ollama-gpu0", "ollama-gpu1") and host.services == ()
    found = changes.containers_gone(host, {"containers": ["ollama-gpu0", "ollama-gpu9"]})
    assert list(map(str, found.effects)) == [f"remove container ollama-gpu9: is no longer declared{CUTS}"]
    assert changes.containers_gone(host, {"containers": ["ollama-gpu0"]}).effects == ()


def test_a_move_to_the_other_runtime_is_said_so() -> None:
    native = ollama_host(make_plan(parse_fleet(fleet(gpus=CARDS))).nodes[0])
    found = changes.containers_gone(native, {"containers": ["ollama-gpu0"]})
    assert list(map(str, found.effects)) == [f"remove container ollama-gpu0: is to run natively{CUTS}"]
    found = changes.services(ollama_host(NODE), {"ours": ["ollama-gpu0"]})
    assert list(map(str, found.effects)) == [f"remove ollama-gpu0: is to run in Docker{CUTS}"]
