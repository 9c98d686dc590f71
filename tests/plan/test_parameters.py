"""A model's own parameters, and architectures that Ollama serves in its own way: planned as they are run."""

from typing import Any

import pytest

from inferfleet.errors import SpecError
from inferfleet.plan import FleetPlan, plan_or_refuse
from inferfleet.plan.capacity import ModelUse
from inferfleet.spec import parse_fleet
from tests.spec.inventories import OLLAMA, fleet

GIB = 1024**3
# No model of the table: its architecture is one that Ollama serves to one client at a time.
SHAPE = {
    "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 12288, "vocab": 150000, "max_context": 32768,
    "architecture": "qwen35",
}  # fmt: skip


def _plan(model: dict[str, Any], gpus: list[Any] | None = None, **settings: Any) -> FleetPlan:
    engines = {"ollama": {**OLLAMA, "parallel": 4, **settings}}
    models = {"m": {"engine": "ollama", "source": "llama2:7b", **model}}
    return plan_or_refuse(parse_fleet(fleet(gpus=["A30"] if gpus is None else gpus, engines=engines, models=models)))


def _use(model: dict[str, Any], **settings: Any) -> ModelUse:
    return _plan(model, **settings).capacity.models[0]


def _overhead(batch: int | None) -> int:
    need = _use({"parameters": {"num_batch": batch} if batch is not None else {}}, context=4096).need
    assert need
    return need.overhead


def test_a_batch_of_its_own_takes_its_buffers() -> None:
    """llama-server's compute buffer grows with `-ub`, which Ollama sets to num_batch."""
    small, usual, large = map(_overhead, (128, 1024, 4096))
    assert usual == _overhead(None)  # what Ollama chooses for 16,384 tokens
    assert _overhead(0) == _overhead(512)
    assert small < usual < large
    # The feed-forward layer alone: gate, gated and product of each token in 32 bits.
    assert large - usual > 3072 * 3 * 11008 * 4


@pytest.mark.parametrize(
    ("parameters", "gpus", "begins"),
    [
        ({"num_gpu": 0}, ["A30"], "models.m: gpu1/0: num_gpu 0 leaves layers to the CPU"),
        ({"num_gpu": 32}, ["A30"], "models.m: gpu1/0: num_gpu 32 leaves layers to the CPU"),
        ({"num_gpu": 33}, ["A30"], None),
        ({"num_gpu": -1}, ["A30"], None),
        ({"num_gpu": 0}, [], None),
        ({"main_gpu": 0}, ["A30"], None),
        ({"main_gpu": 0}, ["A30"] * 2, "models.m: gpu1/0: main_gpu puts all of it on one card"),
    ],
)
def test_what_moves_layers_is_refused(parameters: dict[str, int], gpus: list[str], begins: str | None) -> None:
    refused = _plan({"parameters": parameters}, gpus, per="node").capacity.refusals
    assert [refusal.line.startswith(begins or "-") for refusal in refused] == [True] * (begins is not None)


def test_who_declares_the_memory_may_move_layers() -> None:
    plan = _plan({"parameters": {"num_gpu": 10}, "vram_gib": 3})
    assert not plan.capacity.refusals


@pytest.mark.parametrize("tokens", [-1, 0, 3])
def test_a_context_of_nothing(tokens: int) -> None:
    with pytest.raises(SpecError, match=r"^models\.m\.parameters: num_ctx is too small \(got -?\d\); write at least 4"):
        _plan({"parameters": {"num_ctx": tokens}})


@pytest.mark.parametrize("model", [{"shape": SHAPE, "format": "q4_K_M"}, {"source": "nomic-embed-text"}])
def test_one_request_at_a_time(model: dict[str, Any]) -> None:
    """Whatever parallel is: it answers one, its cache is for one, and its load is more than it can carry."""
    use = _use({**model, "load": 2})
    assert use.slots == 1
    assert "parallel 1" in use.serving
    assert "answers one request at a time, whatever parallel is" in use.notes
    assert use.most is None


@pytest.mark.parametrize(("gpus", "place"), [(["A30"], "gpu1/0"), ([], "gpu1/ollama")])
def test_heads_that_a_quantised_cache_does_not_take(gpus: list[str], place: str) -> None:
    phi = {"shape": {**SHAPE, "architecture": "phi2", "hidden": 2560}, "format": "q4_0"}  # heads of 80
    assert not _plan(phi, gpus, per="node").capacity.refusals
    (refusal,) = _plan(phi, gpus, per="node", kv_cache_type="q8_0").capacity.refusals
    wrong = "a cache in q8_0 needs heads of a multiple of 32, its are 80 wide"
    assert refusal.line == f"models.m: {place}: {wrong}; use kv_cache_type f16"


def test_no_quantised_cache_is_suggested_for_them() -> None:
    phi = {"shape": {**SHAPE, "architecture": "phi2", "hidden": 2560, "kv_heads": 32}, "format": "q4_0"}
    (refusal,) = _plan(phi, parallel=16, context=8192).capacity.refusals
    assert refusal.changes
    assert not any("kv_cache_type" in name for change in refusal.changes for name in change)
