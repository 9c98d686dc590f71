"""Another version and the way back: one switch, the one before it kept, older ones gone, models untouched."""

import pytest

from tests.lab.project import ENGINES, Project

pytestmark = pytest.mark.lab

UNPACKED = "cd /opt/inferfleet/ollama && ls -d */ && readlink current"


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    bare.hosts = {"cpu1": {"instances": [{"engine": "ollama"}]}}
    return bare


def switch(fleet: Project, version: str) -> str:
    """Declare a version and apply; what the run said."""
    fleet.data["engines"] = {"ollama": {**ENGINES["ollama"], "version": version}}
    run = fleet.apply()
    assert run.rc == 0, run.text
    assert not {says: why for says, why in fleet.verify().items() if why}
    return run.text


def test_upgrade_keeps_the_version_before(fleet: Project) -> None:
    switch(fleet, "0.32.14")
    text = switch(fleet, "0.32.15")
    assert "restart ollama-cpu0" in text
    assert fleet.host("cpu1").run(UNPACKED).stdout.split() == ["0.32.14/", "0.32.15/", "current/", "0.32.15"]
    assert fleet.apply().changes == {}


def test_way_back_needs_no_download(fleet: Project) -> None:
    fleet.data["sources"]["ollama"] = "http://127.0.0.1:9/nowhere"
    text = switch(fleet, "0.32.14")
    assert "fetch Ollama" not in text
    assert fleet.host("cpu1").run(UNPACKED).stdout.split()[-1] == "0.32.14"
    assert fleet.apply().changes == {}


def test_older_versions_go(fleet: Project) -> None:
    """A third version: the oldest of the two others is removed, a directory that is not ours stays."""
    cpu1, old = fleet.host("cpu1"), "touch -d 2020-01-01 0.32.13/.i*"
    cpu1.run("cd /opt/inferfleet/ollama && mkdir own && cp -a 0.32.14 0.32.13 && " + old)
    run = fleet.apply()
    assert "remove Ollama 0.32.13: is older than the previous one" in run.text
    assert set(cpu1.run(UNPACKED).stdout.split()) == {"0.32.14/", "0.32.15/", "current/", "own/", "0.32.14"}
    assert fleet.apply().changes == {}
