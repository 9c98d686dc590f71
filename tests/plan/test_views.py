"""What all forms of the plan share: words, names, bars, folding; and the data of `--json`."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inferfleet.placed import PlacedGpu, Server
from inferfleet.plan.capacity import Loss, Share
from inferfleet.plan.gateway import Backend, Chain, GatewayPlan, Tier, Upstream
from inferfleet.plan.show import as_data, folded_rows, rows
from inferfleet.plan.views import bars, words
from inferfleet.plan.views.fleet import drawn, folded, hosts
from inferfleet.plan.views.names import in_short
from inferfleet.spec import Gateway
from tests.plan import capacities
from tests.plan.capacities import FLEETS, changed, size

CLONE = Path(__file__).parents[2]

IN_SHORT = {
    (): "",
    ("gpu1",): "gpu1",
    ("gpu1", "gpu2"): "gpu1, gpu2",
    ("gpu3", "gpu4", "gpu5"): "gpu3 to gpu5",
    ("gpu1", "gpu3", "gpu4", "gpu5", "box"): "gpu1, gpu3 to gpu5, box",
    ("gpu08", "gpu09", "gpu10"): "gpu08 to gpu10",
    ("gpu8", "gpu9", "gpu10"): "gpu8 to gpu10",
    ("gpu08", "gpu9", "gpu10"): "gpu08, gpu9, gpu10",
    ("a1.dc1", "a1.dc2", "a2.dc2", "a3.dc2"): "a1.dc1, a1.dc2, a2.dc2, a3.dc2",
    ("10.0.0.9", "10.0.0.10", "10.0.0.11"): "10.0.0.9 to 10.0.0.11",
    ("a", "b", "c"): "a, b, c",
    ("gpu3", "gpu2", "gpu1"): "gpu3, gpu2, gpu1",
}


@pytest.mark.parametrize(("names", "text"), IN_SHORT.items(), ids=str)
def test_names_in_short(names: tuple[str, ...], text: str) -> None:
    assert in_short(names) == text


def test_what_a_share_says() -> None:
    uses = {model.name: model for model in capacities.four_a30().capacity.models}
    use, own = uses["llama2:13b"], capacities.share("llama2:13b")
    need = use.need
    assert need
    assert words.share_words(own, use) == "llama2:13b: weights 6.9, KV cache 12.5 (4 x 3.1), engine 1.5"
    assert words.share_words(own, None) == "llama2:13b: weights 6.9, KV cache 12.5, engine 1.5"
    # Another engine serves it here with another cache than the model's own row says: no sum is claimed.
    other = replace(own, kv_cache=own.kv_cache // 2)
    assert words.share_words(other, use) == "llama2:13b: weights 6.9, KV cache 6.2, engine 1.5"
    # The cache holds more than its sequences.
    shared = replace(use, need=replace(need, kv_cache=need.kv_cache + size(1)))
    assert words.sequences(replace(own, kv_cache=own.kv_cache + size(1)), shared) == ""
    half = replace(own, weights=own.weights // 2, kv_cache=own.kv_cache // 2)
    split = replace(use, need=replace(need, cards=2))
    expected = "llama2:13b: weights 3.5, KV cache 6.2 (4 x 1.6), engine 1.5, split over 2 cards"
    assert words.share_words(half, split) == expected
    assert words.share_words(Share("i", "m", size(14), 0, 0), None) == "m: 14.0 in all"
    assert words.share_words(Share("i", "m", size(14), 0, 0, waits=True), None) == "m (on demand): 14.0 in all"


def test_what_a_model_says() -> None:
    estimated, measured, _ = capacities.mixed_cards().capacity.models
    assert words.known(estimated) == "its parameters, ±10 %"
    assert words.known(measured) == "the shipped table"
    assert words.notes(measured)[-1] == "estimated 9.0, measured 8.6 GiB"
    assert words.notes(replace(measured, need=None)) == ("measured 8.6 GiB",)
    assert words.copy_size(replace(measured, need=None)) == "-"
    titles, found = words.model_rows([estimated])
    assert dict(zip(titles, found[0], strict=True)) == {
        "model": "qwen2.5:32b",
        "replicas": "1 of 1",
        "at once": "2",
        "load": "6",
        "one copy": "22.4",
        "served with": "context 4096 x parallel 2, f16",
        "known from": "its parameters, ±10 %",
    }
    assert "load" not in words.model_rows([measured])[0]


def test_a_model_falls_short_of_replicas_or_of_its_load() -> None:
    model = capacities.use("mistral:7b", ["a/i"], load=8)
    assert not words.falls_short(model)
    assert words.falls_short(replace(model, load=9))
    assert words.falls_short(replace(model, wanted=2))


def test_losses_of_which_the_same_is_to_be_said_are_named_together() -> None:
    plan = capacities.fleet_of({f"gpu{n}": [("A30", ["llama2:13b"])] for n in range(1, 6)})
    each = tuple(
        Loss(f"gpu{n}", card, (), {"llama2:13b": (4, 5)}, {"llama2:13b": (16, 18)})
        for n in range(1, 6)
        for card in (None, 0)
    )
    last = Loss("gpu2", None, ("m", "n"), {}, {})
    quiet = Loss("gpu3", None, (), {"llama2:13b": (4, 5)}, {})
    found = words.loss_lines(changed(plan, losses=(*each, last, quiet)).capacity)
    # The only card of a host is that host.
    assert found == [
        ("gpu1 to gpu5", "llama2:13b answers 16 at once, load 18"),
        ("gpu2", "no replica is left of m, n"),
    ]
    assert words.loss_lines(capacities.fifty().capacity) == []


def test_hosts_that_look_the_same_are_folded() -> None:
    views = folded(hosts(capacities.fifty().capacity))
    assert [in_short(view.names) for view in views] == [
        "gpu1.example.net to gpu4.example.net",
        "gpu5.example.net to gpu12.example.net",
        "gpu13.example.net to gpu48.example.net",
        "gpu49.example.net, gpu50.example.net",
    ]
    assert words.the_same(views[0]) == "gpu2.example.net to gpu4.example.net: the same"


@pytest.mark.parametrize("part", ["ram", "disk_taken"])
def test_a_host_that_differs_is_not_folded(part: str) -> None:
    plan = capacities.fleet_of({name: [("A30", ["llama2:13b"])] for name in ("a1", "a2", "a3")})
    first, second, third = plan.capacity.hosts
    other = replace(second, **{part: size(100)})  # type: ignore[arg-type]
    views = folded(hosts(changed(plan, hosts=(first, other, third)).capacity))
    assert [view.names for view in views] == [("a1", "a3"), ("a2",)]


def test_instances_of_hosts_that_run_the_same_are_folded() -> None:
    plan = capacities.fifty()
    assert len(rows(plan)) == 184
    assert len(folded_rows(plan)) == 13
    assert folded_rows(plan)[0] == ("gpu1.example.net to gpu4.example.net", *rows(plan)[0][1:])


def test_of_those_on_demand_the_largest_is_drawn() -> None:
    small, large = (capacities.share(name, waits=True) for name in ("nomic-embed-text", "mistral:7b"))
    card = capacities.card("a", 0, "A30", small, capacities.share("llama2:13b"), large)
    assert [share.model for share in drawn(card)] == ["llama2:13b", "mistral:7b"]
    assert sum(share.total for share in drawn(card)) == card.taken


# --- bars ---------------------------------------------------------------------------------------


def test_a_bar() -> None:
    (card, *_) = capacities.four_a30().capacity.cards
    assert bars.text(bars.bar(card, 32), blocks=False) == "##########=================..___"
    assert bars.text(bars.bar(card, 32), blocks=True) == "██████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒░░░"


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
@pytest.mark.parametrize("width", [16, 17, 24, 31, 80])
def test_a_bar_is_as_wide_as_told_and_in_proportion(make: Any, width: int) -> None:
    for card in make().capacity.cards:
        pieces = bars.bar(card, width)
        assert sum(piece.cells for piece in pieces) == width
        assert all(piece.cells for piece in pieces if piece.kind != "free" or card.free)
        free = next(piece.cells for piece in pieces if piece.kind == "free")
        assert abs(free - width * card.free / card.usable) < 1 + 2 * len(card.shares)


def test_bars_at_the_edges() -> None:
    empty = capacities.card("a", 0, "A30")
    assert bars.text(bars.bar(empty, 16), blocks=False) == "_" * 16
    unknown = replace(empty, total=0, usable=0)
    assert bars.text(bars.bar(unknown, 16), blocks=False) == "_" * 16
    full = capacities.card("a", 0, "A30", *(capacities.share(name) for name in ("qwen2.5:32b", "llama2:13b")))
    assert full.free < 0
    assert "_" not in bars.text(bars.bar(full, 24), blocks=False)
    assert len(bars.text(bars.bar(full, 24), blocks=False)) == 24
    assert words.card_free(full) == "too full by 20.1"


def test_models_that_are_too_many_for_a_bar_are_drawn_as_one() -> None:
    card = capacities.card("a", 0, "H100", *[capacities.share("mistral:7b")] * 6)
    assert "|" in bars.text(bars.bar(card, 32), blocks=False)
    assert bars.text(bars.bar(card, 16), blocks=False) == "#####=====._____"


# --- data ---------------------------------------------------------------------------------------


def paths(data: Any, at: str = "") -> set[str]:
    """Every key with the keys above it, `[]` for a list."""
    if isinstance(data, list):
        return set().union(*(paths(entry, f"{at}[]") for entry in data))
    if isinstance(data, dict):
        own = {key: f"{at}.{key}".removeprefix(".") for key in data}
        return {*own.values()}.union(*(paths(value, own[key]) for key, value in data.items()))
    return set()


def test_the_schema_names_every_key_and_no_other() -> None:
    page = (CLONE / "docs/reference/plan.md").read_text()
    told = {path.replace(".NAME", ".qwen2.5:32b") for path in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)}
    plan = capacities.mixed_cards()
    refusal = replace(plan.capacity.refusals[0], changes=())  # its keys are settings
    losses = (Loss("box", 0, (), {"qwen2.5:32b": (1, 2)}, {"qwen2.5:32b": (1, 2)}),)
    card = PlacedGpu(0, "A30", None, "cuda")
    server = Server("vllm-m-gpu0", "vllm", "0.32.0", "m", (("box", (card,)),), "127.0.0.1:8000", {})
    backend = Backend("m", (), "ollama", (Upstream("box/ollama-gpu0", "10.0.0.1", 11434, 1),))
    settings = Gateway.model_validate({"keys": "env:KEYS"})
    gateway = GatewayPlan("gw1", settings, (backend,), (Chain("m", (Tier("m", "m", None, "m_m", False),)),))
    whole = replace(plan, servers=(server,), gateways=(gateway,))
    found = as_data(changed(whole, refusals=(refusal,), losses=losses))
    assert {path for path in paths(found) if not path.endswith("qwen2.5:32b")} == told


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_data_is_plain_and_whole(make: Any) -> None:
    plan = make()
    data = as_data(plan)
    assert json.loads(json.dumps(data)) == data
    capacity = data["capacity"]
    for name in ("cards", "hosts", "models", "refusals", "losses"):
        assert len(capacity[name]) == len(getattr(plan.capacity, name))
    for card in capacity["cards"]:
        assert card["taken_bytes"] + card["free_bytes"] == card["usable_bytes"]
