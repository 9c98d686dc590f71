"""Random fleets as inventories say them: every kind of host, card, engine and model that the planner knows.

Hypothesis draws how many parts a fleet has and a seed for each, so of one that fails only parts that matter are left.
All sizes are declared (`vram_gib`), so that a test can add them up by itself; `calculated` adds models of which the
size follows from their shape and the engine's settings, for suggestions that change these.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

Hosts = dict[str, dict[str, Any]]
Models = dict[str, dict[str, Any]]
# Known cards, and cards of which the memory is declared. Few kinds, so that hosts have several of one.
CARDS: tuple[Any, ...] = (
    "A30", "RTX 4090", "P4",
    {"model": "Card 12", "vram_gib": 12}, {"model": "Card 48", "vram_gib": 48}, {"model": "Card 80", "vram_gib": 80},
)  # fmt: skip
SIZES = (0.5, 1, 2.5, 5, 6.5, 9, 12, 20, 22, 40, 70)
CALCULATED = ("llama2:13b", "llama2:7b", "llama3.1:8b", "llama3.1:70b", "nomic-embed-text")
OLLAMA: dict[str, Any] = {"version": "0.32.15"}
VLLM: dict[str, Any] = {"version": "0.11.0"}


@dataclass(frozen=True)
class Drawn:
    """A fleet, and what may be appended to it."""

    hosts: Hosts
    more_hosts: Hosts
    more_models: Models

    def with_hosts(self) -> Hosts:
        """With the further hosts at its end."""
        models = next(iter(self.hosts.values()))["models"]
        return {**self.hosts, **{name: {**host, "models": models} for name, host in self.more_hosts.items()}}

    def with_models(self) -> Hosts:
        """With the further models at the end of each host's."""
        return {name: {**host, "models": {**host["models"], **self.more_models}} for name, host in self.hosts.items()}


def up_to(hosts: Hosts, model: str) -> Hosts:
    """The fleet with the models up to one, that one included."""
    declared = next(iter(hosts.values()))["models"]
    names = list(declared)[: list(declared).index(model) + 1]
    return {name: {**host, "models": {each: declared[each] for each in names}} for name, host in hosts.items()}


T = TypeVar("T")


def _seeded(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    return st.integers(0, 2**32 - 1).map(lambda seed: make(Random(seed)))


@st.composite
def fleets(draw: st.DrawFn, calculated: bool = False) -> Drawn:
    """A fleet of one to four hosts and one to ten models, with up to two hosts and three models more."""
    groups = draw(st.lists(_seeded(_engines), min_size=1, max_size=2))
    shared = _seeded(lambda random: _host(random, groups))
    first = [draw(_seeded(lambda random: _host(random, groups[:1]))), *draw(st.lists(shared, max_size=3))]
    hosts = {f"h{number}": host for number, host in enumerate(first)}
    more = {f"h{len(hosts) + number}": host for number, host in enumerate(draw(st.lists(shared, max_size=2)))}
    places = [place for name, host in hosts.items() for place in _places(name, host)]
    servers = [engine for engine in ("vllm", "sglang") if engine in groups[0]]
    models: Models = {}
    for seed in draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=10)):
        name, model = _model(Random(seed), models, places, servers, calculated)
        models.setdefault(name, model)
    kept = len(models) - draw(st.integers(0, min(3, len(models) - 1)))
    declared = dict(list(models.items())[:kept])
    with_models = {name: {**host, "models": declared} for name, host in hosts.items()}
    return Drawn(with_models, more, dict(list(models.items())[kept:]))


def _engines(random: Random) -> dict[str, Any]:
    ollama = {
        **OLLAMA,
        "per": random.choice(["card", "card", "node"]),
        "keep_alive": random.choice(["forever", "forever", "5m"]),
        "max_loaded_models": random.choice([16, 16, 1, 2, 3]),
        "parallel": random.choice([1, 2, 4, 8]),
    }
    found = {"ollama": ollama}
    if random.random() < 0.5:
        found["vllm"] = {**VLLM, **random.choice([{}, {}, {"vram_budget_gib": 8.0}, {"port": 11434}])}
    if random.random() < 0.25:
        found["sglang"] = dict(VLLM)
    return found


def _host(random: Random, groups: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = random.choices(CARDS, k=random.choice([1, 1, 2]))
    cards = random.choices(kinds, k=random.randrange(5))
    data: dict[str, Any] = {"gpus": cards, "engines": random.choice(groups)}
    if random.random() < 0.3:
        data["ram_gib"] = random.choice([4, 16, 64])
    if random.random() < 0.3:
        data["disk_gib"] = random.choice([3, 10, 30, 100])
    if len(cards) > 1 and random.random() < 0.5:
        data["nvlink"] = random.choice([[[0, 1]], [[len(cards) - 1, 0]], [list(range(len(cards)))]])
    if random.random() < 0.25:
        data["instances"] = _instances(random, len(cards))
    return data


def _instances(random: Random, cards: int) -> list[dict[str, Any]]:
    """Instances by hand: the cards cut into runs, and up to two on the CPU."""
    found: list[dict[str, Any]] = [{"engine": "ollama"} for _ in range(random.randrange(3))]
    left = list(range(cards))
    while left:
        size = random.choice([1, 2])
        found.insert(random.randint(0, len(found)), {"engine": "ollama", "gpus": left[:size]})
        left = left[size:]
    return found


def _model(
    random: Random, before: Models, places: list[str], servers: list[str], calculated: bool
) -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {"engine": "ollama"}
    name = random.choice(CALCULATED) if calculated and random.random() < 0.5 else f"m{random.randrange(30)}"
    ours = [other for other, model in before.items() if "vram_gib" in model and other != name]
    if name not in CALCULATED:
        data["vram_gib"] = random.choice(SIZES)
    if servers and name not in CALCULATED and random.random() < 0.35:
        data["engine"] = random.choice(servers)
        data["tensor_parallel"] = random.choice([1, 1, 2, 3])
        data["pipeline_parallel"] = random.choice([1, 1, 1, 2])
    elif ours and name not in CALCULATED and random.random() < 0.25:
        data["source"] = random.choice(ours)
    data["replicas"] = random.choice([1, 1, 2, 2, 3, 4, 5, "all", "all", "fitting"])
    data["placement"] = random.choice(["balance", "balance", "pack", "spread"])
    if random.random() < 0.25:
        data["on"] = sorted(set(random.choices(places, k=random.randint(1, 3))))
    if random.random() < 0.25:
        data["load"] = random.randint(1, 12)
    return name, data


def _places(name: str, host: dict[str, Any]) -> list[str]:
    return [name, *(f"{name}/{card}" for card in range(len(host["gpus"])))]
