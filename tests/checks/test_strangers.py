"""Another program at an instance's name or port is called that, and nothing is said of what it was started with."""

from typing import Any

import pytest

from inferfleet.checks import containers, gpus, services
from inferfleet.checks.containers import STRANGERS
from inferfleet.engines.ollama_host import Server
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from tests.spec.inventories import OLLAMA, fleet

(NODE,) = make_plan(parse_fleet(fleet(engines={"ollama": {**OLLAMA, "runtime": "docker"}}))).nodes
(INSTANCE,) = NODE.instances
NAME = INSTANCE.name
SERVER = Server(NAME, "127.0.0.1:11434", ())


class Host:
    """A host on which a container of an instance's name is another program's; a stand-in for `checks.base.Target`."""

    def __init__(self, *listening: tuple[str, int]) -> None:
        self.listening = list(listening)
        self.report: dict[str, Any] = {"version": {NAME: None}}
        self.containers: dict[str, Any] = {
            "docker": None,
            "units": {NAME: {"active": "activating", "enabled": "enabled"}},
            "containers": {NAME: {"ours": False, "running": True}},
        }


def test_a_strangers_container() -> None:
    host: Any = Host()
    said = {
        containers.is_running(NAME, host),
        containers.started_as_declared(NAME, host),
        gpus.sees_its_cards(INSTANCE, host),
    }
    assert said == {STRANGERS}


@pytest.mark.parametrize(
    ("listening", "why"),
    [
        ([("127.0.0.1", 11434)], "something listens at 127.0.0.1:11434, and does not answer as Ollama does"),
        ([("127.0.0.1", 80)], "nothing answers at 127.0.0.1:11434"),
    ],
)
def test_who_does_not_answer(listening: list[tuple[str, int]], why: str) -> None:
    host: Any = Host(*listening)
    assert services.has_version(SERVER, "0.32.15", host) == why
