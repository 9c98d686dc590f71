"""Models by every way of bringing them, and what becomes of those no longer declared."""

import json
import re
from pathlib import Path

import pytest

from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.model import GGUF, SHA256
from tests.lab.api import call
from tests.lab.project import TINY, Project

pytestmark = pytest.mark.lab

TEMPLATE = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
SETTINGS = {
    "shape": str(GGUF),
    "parameters": {"temperature": 0.0, "stop": ["<|im_end|>"], "num_ctx": 1024},
    "template": TEMPLATE,
}
ANSWER = {"Who are you?": "I am a small model that tests the fleet."}


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    bare.hosts = {"cpu1": {"instances": [{"engine": "ollama"}]}}
    run = bare.apply()
    assert run.rc == 0, run.text
    return bare


def converge(fleet: Project, models: dict[str, object]) -> str:
    """Apply twice, the second time without a change, and verify; what the first run said."""
    fleet.data["models"] = models
    run = fleet.apply()
    assert run.rc == 0, run.text
    again = fleet.apply()
    assert again.changes == {}, again.text
    assert not {says: why for says, why in fleet.verify().items() if why}
    return run.text


def names(fleet: Project) -> set[str]:
    listed = json.loads(fleet.host("cpu1").run(call("tags", method="GET")).stdout)
    return {model["name"] for model in listed["models"]}


def test_progress_is_shown_while_it_pulls(fleet: Project, mirror: Path) -> None:
    slow = serve_mirror(fleet.lab, mirror, 8083, slow=500_000)
    before = dict(fleet.data["sources"])
    fleet.data["sources"]["models"] = slow
    fleet.host("cpu1").run(call("delete", {"model": "tiny"}, "DELETE"))
    run = fleet.apply()
    fleet.data["sources"] = before
    assert run.rc == 0, run.text
    assert re.search(r"\[cpu1\] tiny:latest: pulling \w+, [123] of 3 MB", run.text), run.text


def test_model_from_a_url(fleet: Project) -> None:
    url = f"http://{fleet.lab.gateway}/models/tiny.gguf"
    by_url = {"engine": "ollama", "source": url, "sha256": SHA256, "expect": ANSWER, **SETTINGS}
    converge(fleet, {**TINY, "from-url": by_url})
    assert names(fleet) == {"tiny:latest", "from-url:latest"}


def test_wrong_sha256_of_a_url_is_refused(fleet: Project) -> None:
    url = f"http://{fleet.lab.gateway}/models/tiny.gguf"
    fleet.data["models"] = {**TINY, "wrong": {"engine": "ollama", "source": url, "sha256": "0" * 64, **SETTINGS}}
    run = fleet.apply()
    assert run.rc == 1
    assert "it was not used" in run.text
    assert "wrong:latest" not in names(fleet)


def test_model_from_a_file_on_the_host(fleet: Project) -> None:
    cpu1 = fleet.host("cpu1")
    url = f"http://{fleet.lab.gateway}/models/tiny.gguf"
    cpu1.run(f"mkdir -p /srv/m && python3 -c \"import urllib.request as u; u.urlretrieve('{url}', '/srv/m/t.gguf')\"")
    by_file = {"engine": "ollama", "source": "file:/srv/m/t.gguf", "sha256": SHA256, "expect": ANSWER, **SETTINGS}
    converge(fleet, {**TINY, "from-file": by_file})
    assert "from-file:latest" in names(fleet)
    # The weights are the committed file, byte for byte.
    assert cpu1.run(f"sha256sum /usr/share/ollama/.ollama/models/blobs/sha256-{SHA256}").stdout.startswith(SHA256)
    assert GGUF.is_file()


def test_model_made_from_another_follows_its_settings(fleet: Project) -> None:
    made = {"engine": "ollama", "source": "tiny", "system": "You are a test.", "expect": ANSWER}
    converge(fleet, {**TINY, "team/made:v1": made})
    text = converge(fleet, {**TINY, "team/made:v1": {**made, "parameters": {"num_ctx": 2048}}})
    assert "create team/made:v1: was made from other settings" in text


def test_models_of_ours_go_when_they_are_no_longer_declared_and_others_stay(fleet: Project) -> None:
    converge(fleet, {**TINY, "tiny:second": {"engine": "ollama", "source": "tiny"}})
    fleet.host("cpu1").run(call("copy", {"source": "tiny", "destination": "by-hand"}))
    text = converge(fleet, TINY)
    assert "remove tiny:second: is no longer declared" in text
    assert names(fleet) == {"tiny:latest", "by-hand:latest"}


def test_a_typo_in_a_models_name_takes_nothing_away(fleet: Project) -> None:
    """What is declared in the old one's place does not come, so the old one stays and answers."""
    converge(fleet, TINY)
    fleet.data["models"] = {"tiny:typo": TINY["tiny"]}
    run = fleet.apply()
    assert run.rc == 1
    assert "tiny:typo: pull model manifest: file does not exist" in run.text
    assert "tiny:latest: no longer declared, and stays until all declared models are there" in run.text
    loaded = json.loads(fleet.host("cpu1").run(call("ps", method="GET")).stdout)["models"]
    assert [model["name"] for model in loaded] == ["tiny:latest"]
    assert "tiny:latest" in names(fleet)
    assert "load" not in converge(fleet, TINY).replace("loaded", "")


def test_pin_is_met_by_the_weights(fleet: Project) -> None:
    converge(fleet, {"tiny": {**TINY["tiny"], "pin": f"sha256:{SHA256}"}})


def test_pin_that_is_not_met_fails_and_says_what_is_there(fleet: Project) -> None:
    fleet.data["models"] = {"tiny": {**TINY["tiny"], "pin": "sha256:" + "0" * 64}}
    assert "pinned to sha256:000000000000" in fleet.dry().text
    run = fleet.apply()
    assert run.rc == 1
    assert "pinned to" in run.text
    assert "it was left as it was" in run.text
    converge(fleet, TINY)
