"""Unit and environment of a container, byte for byte, and what makes one another.

The expected texts are in `golden/`; see `test_units`.
"""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from inferfleet.containers import containers_of
from inferfleet.engines.container_host import Container
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from tests.render.systemd_syntax import settings_of
from tests.render.test_units import GOLDEN, ODD
from tests.spec.inventories import DIGEST, OLLAMA, UUID, Hosts, fleet

UUIDS = [{"model": "A30", "uuid": UUID.format(n)} for n in (1, 2)]
PINNED = f"ollama/ollama:0.32.15@sha256:{DIGEST}"


def _with(settings: dict[str, Any] | None = None, **data: Any) -> Hosts:
    return fleet(engines={"ollama": {**OLLAMA, "runtime": "docker", **(settings or {})}}, **data)


HOSTS: dict[str, Hosts] = {
    "docker-by-uuid": _with({"image": PINNED, "memory": "16g", "models_dir": "/srv/ollama/models"}, gpus=UUIDS),
    "docker-by-index": _with(gpus=["A30"]),
    "docker-cpu": _with({"host": "0.0.0.0"}, gpus=[], instances=[{"engine": "ollama"}]),
    "docker-node": _with({"per": "node", "environment": ODD}, gpus=UUIDS),
}


def _made(hosts: Hosts) -> tuple[Container, ...]:
    (node,) = make_plan(parse_fleet(hosts)).nodes
    return containers_of(node, node.gpus)


def _words(container: Container) -> list[str]:
    (line,) = settings_of(container.unit)["Service"]["ExecStart"]
    return shlex.split(line)


@pytest.mark.parametrize("case", HOSTS)
def test_golden(case: str) -> None:
    texts = {Path(c.unit_path).name: c.unit for c in _made(HOSTS[case])}
    texts |= {Path(c.environment_path).name: c.environment for c in _made(HOSTS[case])}
    if os.environ.get("INFERFLEET_GOLDEN") == "write":
        shutil.rmtree(GOLDEN / case, ignore_errors=True)
        (GOLDEN / case).mkdir()
        for name, text in texts.items():
            (GOLDEN / case / name).write_text(text, encoding="utf-8")
    assert {path.name: path.read_text(encoding="utf-8") for path in (GOLDEN / case).iterdir()} == texts


def test_each_gets_its_card_and_no_other() -> None:
    for container, card in zip(_made(HOSTS["docker-by-uuid"]), UUIDS, strict=True):
        words = _words(container)
        assert [words[n + 1] for n, word in enumerate(words) if word == "--device"] == [
            f"nvidia.com/gpu={card['uuid']}"
        ]
        assert "--gpus" not in words and "--privileged" not in words


def test_all_cards_of_a_node() -> None:
    (container,) = _made(HOSTS["docker-node"])
    assert container.devices == tuple(f"nvidia.com/gpu={card['uuid']}" for card in UUIDS)


def test_no_setting_is_in_the_command() -> None:
    """What stands in a command every user of the host may read; what stands in the file only root."""
    (container,) = _made(HOSTS["docker-node"])
    assert not [word for word in _words(container) if "OLLAMA_" in word or "she said" in word]
    assert "QUOTES=she said \"no\" and 'yes'\n" in container.environment


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ({"context": 2048}, {}),
        ({"environment": {"A": "b"}}, {}),
        ({"memory": "16g"}, {}),
        ({"host": "0.0.0.0"}, {}),
        ({"image": PINNED}, {}),
        ({"version": "0.32.14"}, {}),
        ({}, {"gpus": UUIDS[:1]}),
        ({}, {"docker": {"log_max_size": "50m"}}),
    ],
    ids=str,
)
def test_what_a_container_is_started_with_is_marked(settings: dict[str, Any], data: dict[str, Any]) -> None:
    before, after = _made(_with())[0], _made(_with(settings, **data))[0]
    assert after.digest != before.digest == _made(_with())[0].digest
    assert f"--label inferfleet.spec={after.digest} " in after.unit


def test_another_mirror_starts_nothing_anew() -> None:
    """The image is the same, wherever it was pulled from."""
    one, other = (_made(_with({"image": PINNED}, sources={"images": f"https://{n}.example"}))[0] for n in ("a", "b"))
    assert one.digest == other.digest
    assert one.unit != other.unit
