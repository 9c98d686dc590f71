"""Which models are held against the real llama-server, and how they are served."""

from dataclasses import dataclass, replace
from pathlib import Path

from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.runtime import llama_runtime
from inferfleet.lab.paths import cache_dir
from inferfleet.memory import ModelSize, Need, Serving, llama_cpp
from inferfleet.memory.ollama_batch import batch_of
from tests.memory.make_models import MODELS
from tests.memory.real_server import Buffer, measure

MIB = 1 << 20
ONE = Serving("ollama", 4096, 1)
FOUR = Serving("ollama", 2048, 4)  # Ollama takes batches of 1,024 tokens above 4,096 in all
LONG = Serving("ollama", 16384, 1)
SLOW = replace(FOUR, flash_attention=False)

ON_ONE_CARD = [
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
ON_SEVERAL_CARDS = [
    (name, replace(ONE, cards=cards)) for name in ("grouped heads", "many experts", "8 bits") for cards in (2, 3)
]
ON_THE_HOST = [("grouped heads", replace(FOUR, cards=0))]


@dataclass(frozen=True)
class Measured:
    """What is said and what is printed."""

    said: Need
    printed: list[Buffer]

    def of(self, *kinds: str, host: bool = False) -> float:
        """Bytes that were printed for some kinds of buffer."""
        return MIB * sum(one.mib for one in self.printed if one.kind in kinds and one.on_host == host)

    @property
    def compute(self) -> int:
        """Of what is said, that which llama-server prints as its compute buffer."""
        return self.said.overhead - llama_cpp.DRIVER_CONTEXT


def llama_server() -> Path:
    """The program, fetched into the cache if it is not there."""
    return llama_runtime(fetch_packages(cache_dir(), print), cache_dir(), print) / "llama-server"


def measured(program: Path, path: Path, size: ModelSize, serving: Serving) -> Measured:
    """One model is loaded as it shall be served."""
    return Measured(llama_cpp.need(size, serving), measure(program, path, serving, batch_of(size, serving, None)))


def name_of(name: str, serving: Serving) -> str:
    """For people: what is special of it."""
    words = [name, f"{serving.context} x {serving.parallel}"]
    words += [serving.kv_type] * (serving.kv_type != "f16") + ["no flash attention"] * (not serving.flash_attention)
    return ", ".join([*words, *[f"{serving.cards} cards"] * (serving.cards != 1)])
