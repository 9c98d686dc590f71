"""What the memory model says is what the real llama-server prints. Half a minute on two cores; needs no root."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.lab.mirror.machine import FETCHES, missing_packages
from inferfleet.memory import ModelSize, Serving, llama_cpp
from tests.memory import cases
from tests.memory.cases import MIB, ON_ONE_CARD, ON_SEVERAL_CARDS, ON_THE_HOST, Measured, name_of
from tests.memory.make_models import MODELS, write

pytestmark = pytest.mark.slow

Made = dict[str, tuple[Path, ModelSize]]


@pytest.fixture(scope="module")
def program() -> Path:
    if missing := missing_packages(FETCHES):
        pytest.skip(f"to fetch llama-server, install {' '.join(missing)}")
    return cases.llama_server()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    directory = tmp_path_factory.mktemp("models")
    paths = {name: directory / f"{name}.gguf" for name in MODELS}
    yield {name: (path, write(MODELS[name], path)) for name, path in paths.items()}
    for path in paths.values():
        path.unlink()


@pytest.fixture
def measured(request: pytest.FixtureRequest, program: Path, made: Made) -> Measured:
    name, serving = request.param
    return cases.measured(program, *made[name], serving)


def _id(case: tuple[str, Serving]) -> str:
    return name_of(*case)


@pytest.mark.parametrize("measured", ON_ONE_CARD, ids=_id, indirect=True)
def test_on_one_card(measured: Measured) -> None:
    said = measured.said
    # Each line is rounded to 0.01 MiB, and a model with windows has two.
    assert said.kv_cache == pytest.approx(measured.of("KV"), abs=0.02 * MIB)
    assert said.weights == pytest.approx(measured.of("model"), abs=0.02 * MIB)
    assert measured.compute == pytest.approx(measured.of("compute"), rel=0.1)
    total = measured.of("model", "KV", "compute")
    assert said.weights + said.kv_cache + measured.compute == pytest.approx(total, rel=0.02)
    host = measured.of("model", "compute", "output", host=True)
    assert said.host - llama_cpp.PROCESS == pytest.approx(host, rel=0.05)


@pytest.mark.parametrize("measured", ON_SEVERAL_CARDS, ids=_id, indirect=True)
def test_on_several_cards(measured: Measured) -> None:
    """The software GPU named twice is two cards; the fullest of them is planned for."""
    cards = {one.where for one in measured.printed if not one.on_host}
    assert len(cards) == measured.said.cards
    fullest = max(sum(one.mib for one in measured.printed if one.where == card) for card in cards) * MIB
    assert fullest * 0.99 < measured.said.per_card - llama_cpp.DRIVER_CONTEXT < fullest * 1.15
    assert measured.said.kv_cache == pytest.approx(measured.of("KV"), abs=0.01 * MIB * len(cards))


@pytest.mark.parametrize("measured", ON_THE_HOST, ids=_id, indirect=True)
def test_on_the_host_alone(measured: Measured) -> None:
    assert not [one for one in measured.printed if not one.on_host]
    said = measured.said.host - llama_cpp.PROCESS
    assert said == pytest.approx(measured.of("model", "KV", "compute", "output", host=True), rel=0.05)
