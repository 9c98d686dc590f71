"""Native and Docker on one host: side by side, and from one to the other by one word, with the models kept."""

import pytest

from tests.lab.project import CPU_TWICE, Project, in_docker

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def fleet(cards: Project) -> Project:
    """Two instances on the CPU, both native at first; Debian 12."""
    cards.hosts = {"cpu1": CPU_TWICE}
    cards.data["engines"]["ollama"].update(runtime="native", image=None)
    run = cards.apply()
    assert run.rc == 0, run.text
    return cards


def moved(fleet: Project, first: str, second: str) -> str:
    """Both runtimes are as given, everything holds, a second run changes nothing; gives what the apply said."""
    fleet.hosts = {"cpu1": {"instances": [{"engine": "ollama", "runtime": kind} for kind in (first, second)]}}
    image = in_docker(fleet.lab)["engines"]["ollama"]["image"] if "docker" in (first, second) else None
    fleet.data["engines"]["ollama"].update(runtime="native", image=image)
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert fleet.apply().changes == {}
    assert {check: why for check, why in fleet.verify().items() if why} == {}
    return run.text


def test_side_by_side(fleet: Project) -> None:
    said = moved(fleet, "native", "docker")
    assert "will remove ollama-cpu1: is to run in Docker" in said
    assert "restart ollama-cpu0" not in said and "fetching tiny" not in said and "tiny:latest: fetching" not in said


def test_all_to_docker_by_one_word(fleet: Project) -> None:
    fleet.hosts = {"cpu1": CPU_TWICE}
    fleet.data["engines"]["ollama"].update(in_docker(fleet.lab)["engines"]["ollama"])
    run = fleet.apply()
    assert run.rc == 0 and "tiny:latest: fetching" not in run.text, run.text
    assert "restart ollama-cpu1" not in run.text
    assert {check: why for check, why in fleet.verify().items() if why} == {}


def test_a_release_that_does_not_come_stops_nothing(fleet: Project) -> None:
    """What is to take the containers' place is fetched before they are touched."""
    declared = dict(fleet.data["engines"]["ollama"])
    fleet.data["engines"]["ollama"].update(version="0.32.99", runtime="native", image=None)
    run = fleet.apply()
    fleet.data["engines"]["ollama"] = declared
    assert run.rc == 1 and "check `sources` and `version`" in run.text, run.text
    assert len(fleet.host("cpu1").run("docker ps -q").stdout.split()) == 2
    assert fleet.apply().changes == {}


def test_and_back(fleet: Project) -> None:
    said = moved(fleet, "native", "native")
    assert said.count("is to run natively") == 2 and "tiny:latest: fetching" not in said
    assert fleet.host("cpu1").run("docker ps -q").stdout == ""
