"""What is refused: one line each, with the numbers, and with changes that really help."""

import copy
import re
from typing import Any

import pytest

from inferfleet.errors import SpecError
from inferfleet.plan import FleetPlan, plan_or_refuse
from inferfleet.spec import parse_fleet
from tests.spec.inventories import OLLAMA, Hosts, fleet, host

A30 = {"gpus": ["A30"] * 4}
VLLM = {"vllm": {"version": "0.32.0", "parallel": 4}}


def _plan(hosts: Hosts) -> FleetPlan:
    return plan_or_refuse(parse_fleet(hosts))


def _one(settings: dict[str, Any], cards: dict[str, Any] = A30, **ollama: Any) -> Hosts:
    """A host with one model of these settings."""
    engines = {"ollama": {**OLLAMA, **ollama}, **VLLM}
    return {"gpu1": host(**cards, engines=engines, models={"m": {"engine": "ollama", **settings}})}


LLAMA = {"source": "llama3.1:8b"}
SHAPE = {"layers": 2, "hidden": 1152, "heads": 16, "kv_heads": 16, "ffn": 4096, "vocab": 32000, "max_context": 8192}
# ruff: noqa: E501
# What is asked -> how the line begins, and its end.
CASES: dict[str, tuple[Hosts, str, str]] = {
    "context beyond the cards": (
        _one(LLAMA, parallel=4, context=65536),
        "models.m: with context 65536 x parallel 4 needs ",
        "fits with parallel 2, or context 3",
    ),
    "quantised cache alone is enough": (
        _one(LLAMA, parallel=4, context=49152),
        "models.m: with context 49152 x parallel 4 needs ",
        "or kv_cache_type q8_0",
    ),
    "weights beyond any one card": (
        _one({"source": "llama3.1:70b"}),
        "models.m: with context 4096 x parallel 1 needs ",
        "fits with per node",
    ),
    "weights beyond the host": (
        _one({"source": "llama3.1:70b", "format": "f16"}),
        "models.m: with context 4096 x parallel 1 needs ",
        "take a smaller format or model, or a card with more memory",
    ),
    "more replicas than instances": (
        _one({"vram_gib": 1, "replicas": 5}), "models.m: wants 5 of 4 ollama instances; ", "fits with replicas 4",
    ),
    "no instance at all": (
        _one({"vram_gib": 1}, {"gpus": []}),
        "models.m: no ollama instance is there to serve it; ",
        "add cards or `instances` to the inventory, or remove the model",
    ),
    "some do not fit": (
        _one({"vram_gib": 12}, {"gpus": ["A30", "P4"]}),
        "models.m: 1 of 2 replicas: with its vram_gib needs 12.0 of ",
        "fits with replicas fitting",
    ),
    "a full card": (
        fleet(gpus=["A30"], models={"big": {"engine": "ollama", "vram_gib": 20}, "m": {"engine": "ollama", "vram_gib": 9}}),
        "models.m: with its vram_gib needs 9.0 of ",
        "beside big; fits with keep_alive 5m",
    ),
    "pinned to a full card": (
        fleet(gpus=["A30"] * 2, models={
            "big": {"engine": "ollama", "vram_gib": 20, "on": ["gpu1/1"]},
            "m": {"engine": "ollama", "vram_gib": 9, "on": ["gpu1/1"]},
        }),
        "models.m: with its vram_gib needs 9.0 of ",
        "GiB on gpu1/1 beside big; fits with keep_alive 5m",
    ),
    "pinned to a host that is not there": (
        _one({"vram_gib": 1, "on": ["gpu2"]}), "models.m: `on` names 'gpu2', no host of the fleet; ", "did you mean 'gpu1'?",
    ),
    "pinned to a card that is not there": (
        _one({"vram_gib": 1, "on": ["gpu1/4"]}), "models.m: `on` names 'gpu1/4'; gpu1 has 4 cards, counted from 0", "",
    ),
    "pins that contradict the replicas": (
        _one({"vram_gib": 1, "on": ["gpu1/0"], "replicas": 2}),
        "models.m: wants 2 of 1 ollama instances named in `on`; ",
        "fits with replicas 1",
    ),
    "spread over more hosts than there are": (
        _one({"vram_gib": 1, "placement": "spread", "replicas": 2}), "models.m: wants 2 of 1 hosts; ", "fits with replicas 1",
    ),
    "host memory": (
        _one({"vram_gib": 14}, {"gpus": [], "instances": [{"engine": "ollama"}], "ram_gib": 8}),
        "models.m: with its vram_gib needs 14.0 of 6.0 GiB memory on gpu1; ",
        "take a smaller format or model, or correct `ram_gib` if the host has more",
    ),
    "disk": (
        _one({"vram_gib": 14}, {"gpus": ["A30"], "disk_gib": 10}),
        "models.m: with its vram_gib needs 14.0 of 10.0 GiB disk on gpu1; ",
        "take a smaller format or model, or correct `disk_gib` if the host has more",
    ),
    "heads that cannot be divided": (
        _one({"engine": "vllm", "source": "hf:Qwen/Qwen2.5-7B-Instruct", "tensor_parallel": 8}),
        "models.m: tensor_parallel 8 does not divide its 28 heads; ",
        "set tensor_parallel to 4",
    ),
    "more cards than the host has": (
        _one({"engine": "vllm", "vram_gib": 8, "tensor_parallel": 8}),
        "models.m: no 8 cards of one host have ",
        "",
    ),
    "a replica that needs more than one card": (
        _one({"engine": "vllm", "source": "hf:meta-llama/Llama-2-13b-chat-hf", "context": 2048, "parallel": 1}),
        "models.m: no card has ",
        "fits with tensor_parallel 2, or tensor_parallel 4",
    ),
    "a card that the engine cannot run on": (
        _one({"engine": "vllm", "vram_gib": 8}, {"gpus": ["P40"]}), "models.m: ", "",
    ),
    "slices of MIG for one process": (
        _one({"source": "llama3.3:70b"}, {"gpus": ["A100 80GB 3g.40gb"] * 2}, per="node"),
        "models.m: gpu1/0: a process computes on one MIG slice; ",
        "give each slice an instance of its own",
    ),
    "an engine that no host with cards has": (
        {"gpu1": host(engines={"ollama": dict(OLLAMA)}, models={"m": {"engine": "vllm", "vram_gib": 1}}),
         "gpu2": host(gpus=[], engines=VLLM, models={"m": {"engine": "vllm", "vram_gib": 1}})},
        "models.m: ", "add cards to a host with engines.vllm",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("hosts", "begins", "ends"), CASES.values(), ids=CASES)
def test_refusal(hosts: Hosts, begins: str, ends: str) -> None:
    (refusal,) = _plan(hosts).capacity.refusals
    assert refusal.line.startswith(begins), refusal.line
    assert ends in refusal.line
    assert re.fullmatch(r"models\.m: [^\n]+; [^\n]+", refusal.line)


@pytest.mark.parametrize("hosts", [hosts for hosts, *_ in CASES.values()], ids=CASES)
def test_what_is_said_to_fit_fits(hosts: Hosts) -> None:
    """Each suggestion is written into the inventory, as its reader would."""
    (refusal,) = _plan(hosts).capacity.refusals
    for change in refusal.changes:
        mended = copy.deepcopy(hosts)
        for data in mended.values():
            for path, value in change.items():
                *way, last = _keys(path)
                inner: Any = data
                for key in way:
                    inner = inner[key]
                inner[last] = value
        assert not _plan(mended).capacity.refusals, change


def _keys(path: str) -> list[str]:
    """`models.m.replicas` as keys."""
    return path.split(".")


def test_other_models_are_placed_all_the_same() -> None:
    models = {"m": {"engine": "ollama", "vram_gib": 99}, "n": {"engine": "ollama", "vram_gib": 1}}
    plan = _plan(fleet(models=models))
    assert [refusal.model for refusal in plan.capacity.refusals] == ["m"]
    assert plan.nodes[0].instances[0].models == ("n",)


def test_a_setting_of_one_group_says_which() -> None:
    models = {"m": {"engine": "ollama", "source": "llama3.1:8b"}}
    engines = ({"ollama": {**OLLAMA, "context": 8192}}, {"ollama": {**OLLAMA, "parallel": 4, "context": 65536}})
    hosts = {f"gpu{number}": host(engines=each, models=models) for number, each in enumerate(engines, start=1)}
    (refusal,) = _plan(hosts).capacity.refusals
    assert refusal.line.endswith(" on hosts set like gpu2")


def _mistakes(hosts: Hosts) -> tuple[str, ...]:
    with pytest.raises(SpecError) as raised:
        _plan(hosts)
    return raised.value.mistakes


def test_what_stops_a_whole_plan() -> None:
    """Nothing is placed where a size, a card or a context cannot be."""
    qwen = {"engine": "vllm", "source": "hf:Qwen/Qwen2.5-7B-Instruct"}
    assert _mistakes(_one({**qwen, "context": 65536})) == (
        "models.m.context: 65536 is beyond the 32768 it was made for; set its context to 32768",
    )
    assert _mistakes(_one({"source": "lama3.1:8b"}))[0].startswith(
        "models.m: its size is not known (got 'lama3.1:8b'); did you mean 'llama3.1:8b'"
    )
    assert _mistakes(_one({"vram_gib": 1}, {"gpus": ["RX 7900 XTX", "RX 7900 XTX"]})) == (
        "gpu1: gpus[0] (and 1 more): a RX 7900 XTX is none of NVIDIA's; add its backend: 'vulkan'",
    )


def test_a_load_beyond_the_whole_fleet_is_noted() -> None:
    (use,) = _plan(_one({"vram_gib": 1, "load": 50}, parallel=4)).capacity.models
    assert use.notes == ("answers 16 at once, load 50: raise `replicas` or `parallel`",)


def test_what_parallel_fits_holds_on_every_card() -> None:
    hosts = {
        "big": host(gpus=["H100"], models={"m": {"engine": "ollama", **LLAMA}}),
        "small": host(gpus=["T4"], models={"m": {"engine": "ollama", **LLAMA}}),
    }
    (use,) = _plan(hosts).capacity.models
    assert use.most
    for data in hosts.values():
        data["engines"]["ollama"]["parallel"] = use.most
    assert not _plan(hosts).capacity.refusals
    for data in hosts.values():
        data["engines"]["ollama"]["parallel"] = use.most + 1
    assert _plan(hosts).capacity.refusals


@pytest.mark.parametrize(
    ("settings", "ollama", "line"),
    [
        (
            {**LLAMA, "parameters": {"num_gpu": 10}},
            {},
            "models.m: gpu1/0: num_gpu 10 leaves layers to the CPU, which is not planned; "
            "leave it out, or declare vram_gib",
        ),
        (
            {**LLAMA, "parameters": {"main_gpu": 1}},
            {"per": "node"},
            "models.m: gpu1/0: main_gpu puts all of it on one card of the instance, which is not planned; leave it out",
        ),
        (
            {"shape": {**SHAPE, "head_dim": 72}, "format": "f16"},
            {"kv_cache_type": "q8_0"},
            "models.m: gpu1/0: a cache in q8_0 needs heads of a multiple of 32, its are 72 wide; use kv_cache_type f16",
        ),
    ],
)
def test_settings_that_are_not_planned(settings: dict[str, Any], ollama: dict[str, Any], line: str) -> None:
    (refusal,) = _plan(_one(settings, **ollama)).capacity.refusals
    assert refusal.line == line


def test_models_that_embed_answer_one_at_a_time() -> None:
    (use,) = _plan(_one({"source": "nomic-embed-text"}, parallel=4)).capacity.models
    assert use.slots == 4  # of four instances
    assert "answers one request at a time, whatever parallel is" in use.notes
    assert use.most is None
