"""The plan of gateways: who answers under which name, where instances listen, what aliases become."""

from typing import Any

from inferfleet.engines.ollama_store import Entry, entries
from inferfleet.plan import FleetPlan, GatewayPlan, make_plan
from inferfleet.plan.show import as_data
from inferfleet.spec import parse_fleet
from tests.spec.inventories import DIGEST, OLLAMA, host, models

KEYS: dict[str, Any] = {"keys": "file:secrets/keys.toml"}
OPENAI = {"url": "https://api.openai.com", "key": "env:OPENAI_API_KEY"}
TWO = {
    "llama2:13b": {"engine": "ollama", "aliases": ["gpt-4o-mini"]},
    "team/chat:v1": {"engine": "ollama", "vram_gib": 1, "replicas": 1},
}


def _plan(gateway: dict[str, Any], on: str = "gw1", **data: Any) -> FleetPlan:
    engines = {"ollama": {**OLLAMA, "parallel": 4}}
    hosts = {
        name: host(gpus=["A30"] * 2, models=TWO, engines=engines, address=address, **data)
        for name, address in (("gpu1", "10.0.0.11"), ("gpu2", "fd00::12"))
    }
    hosts.setdefault(on, {"address": "10.0.0.10"})["gateway"] = {**KEYS, **gateway}
    return make_plan(parse_fleet(hosts))


def _gateway(gateway: dict[str, Any], on: str = "gw1") -> GatewayPlan:
    (found,) = _plan(gateway, on).gateways
    return found


def test_backends() -> None:
    one, two = _gateway({}).backends
    assert (one.name, one.names, one.slots) == ("m_llama2:13b", ("llama2:13b", "gpt-4o-mini"), 16)
    assert [(up.name, up.server, up.place, up.slots) for up in one.upstreams] == [
        ("gpu1/ollama-gpu0", "gpu1::ollama-gpu0", "10.0.0.11:11434", 4),
        ("gpu1/ollama-gpu1", "gpu1::ollama-gpu1", "10.0.0.11:11435", 4),
        ("gpu2/ollama-gpu0", "gpu2::ollama-gpu0", "[fd00::12]:11434", 4),
        ("gpu2/ollama-gpu1", "gpu2::ollama-gpu1", "[fd00::12]:11435", 4),
    ]
    assert (two.name, two.slots, [up.name for up in two.upstreams]) == ("m_team::chat:v1", 4, ["gpu1/ollama-gpu0"])


def test_instances_listen_where_the_gateway_reaches_them() -> None:
    assert [instance.address for node in _plan({}).nodes for instance in node.instances] == [
        "10.0.0.11:11434",
        "10.0.0.11:11435",
        "[fd00::12]:11434",
        "[fd00::12]:11435",
    ]


def test_beside_the_gateway_they_stay_on_loopback() -> None:
    plan = _plan({}, on="gpu1")
    assert [instance.address for instance in plan.nodes[0].instances] == ["127.0.0.1:11434", "127.0.0.1:11435"]
    assert [up.place for up in plan.gateways[0].backends[0].upstreams] == [
        "127.0.0.1:11434",
        "127.0.0.1:11435",
        "[fd00::12]:11434",
        "[fd00::12]:11435",
    ]


def test_a_declared_address_stays() -> None:
    engines = {"ollama": {**OLLAMA, "host": "0.0.0.0"}}
    hosts = {"gpu1": host(engines=engines, address="10.0.0.11"), "gw1": {"gateway": KEYS, "address": "10.0.0.10"}}
    plan = make_plan(parse_fleet(hosts))
    assert plan.nodes[0].instances[0].settings.host == "0.0.0.0"
    assert plan.gateways[0].backends[0].upstreams[0].place == "10.0.0.11:11434"
    beside = make_plan(parse_fleet({"gpu1": host(engines=engines, gateway=KEYS)}))
    assert beside.gateways[0].backends[0].upstreams[0].place == "127.0.0.1:11434"


def test_without_a_gateway_nothing_changes() -> None:
    plan = make_plan(parse_fleet({"gpu1": host(address="10.0.0.11")}))
    assert plan.gateways == ()
    assert plan.nodes[0].instances[0].address == "127.0.0.1:11434"


def test_chains_in_order_and_flat() -> None:
    plan = _gateway(
        {
            "providers": {"openai": {**OPENAI, "models": {"o3": "o3", "fast": "gpt-5-nano"}}},
            "chains": {"gpt-4o": ["openai:gpt-4o", "own"], "own": ["llama2:13b", "team/chat:v1"]},
        }
    )
    assert [
        (chain.backend, [(t.name, t.model, t.provider, t.backend, t.renames) for t in chain.tiers])
        for chain in plan.chains
    ] == [
        (
            "c_gpt-4o",
            [
                ("openai:gpt-4o", "gpt-4o", "openai", None, False),
                ("llama2:13b", "llama2:13b", None, "m_llama2:13b", True),
                ("team/chat:v1", "team/chat:v1", None, "m_team::chat:v1", True),
            ],
        ),
        (
            "c_own",
            [
                ("llama2:13b", "llama2:13b", None, "m_llama2:13b", True),
                ("team/chat:v1", "team/chat:v1", None, "m_team::chat:v1", True),
            ],
        ),
        ("c_o3", [("openai:o3", "o3", "openai", None, False)]),
        ("c_fast", [("openai:gpt-5-nano", "gpt-5-nano", "openai", None, True)]),
    ]
    assert plan.offered == ("llama2:13b", "gpt-4o-mini", "team/chat:v1", "gpt-4o", "own", "o3", "fast")


def test_a_chain_may_have_the_name_of_a_model_or_alias_in_it() -> None:
    """Behind it stands a provider, or before it; the engine knows the name, so nothing is renamed."""
    chains = {
        "llama2:13b": ["llama2:13b", "openai:gpt-4o"],
        "gpt-4o-mini": ["openai:gpt-4o-mini", "llama2:13b"],
    }
    plan = _gateway({"providers": {"openai": OPENAI}, "chains": chains})
    assert [[tier.renames for tier in chain.tiers] for chain in plan.chains] == [[False, True], [False, False]]
    assert plan.offered == ("llama2:13b", "gpt-4o-mini", "team/chat:v1")


def test_the_plan_as_data_names_no_secret() -> None:
    plan = _plan({"providers": {"openai": {**OPENAI, "models": {"o3": "o3"}}}})
    (shown,) = as_data(plan)["gateways"]
    assert shown["models"][0]["aliases"] == ["gpt-4o-mini"]
    assert shown["chains"] == [{"name": "o3", "tiers": ["openai:o3"]}]
    assert "OPENAI_API_KEY" not in str(shown) and "keys.toml" not in str(shown)


def _entries(**settings: Any) -> dict[str, Entry]:
    hosts = models(m={"aliases": ["other", "third:v1"], **settings})
    (node,) = make_plan(parse_fleet(hosts)).nodes
    assert node.instances[0].models == ("m",)  # copies take no memory, and are not asked to stay in it
    return {entry.name: entry for entry in entries(node.models, None)}


def test_aliases_of_a_pulled_model_are_the_same_weights() -> None:
    found = _entries(pin=f"sha256:{DIGEST}")
    assert [*found] == ["m:latest", "other:latest", "third:v1"]
    assert {(one.how, one.origin, one.pin) for one in found.values()} >= {("pull", "m:latest", f"sha256:{DIGEST}")}
    assert found["other:latest"].origin == "m" or found["other:latest"].origin == "m:latest"


def test_aliases_of_a_model_that_is_made_are_made_from_it() -> None:
    for settings in ({"source": "llama2", "system": "Be brief."}, {"source": "file:/srv/m.gguf", "sha256": DIGEST}):
        found = _entries(**settings)
        alias = found["other:latest"]
        assert (alias.how, alias.origin, alias.settings) == ("create", "m:latest", {})
        assert [*found].index("m:latest") < [*found].index("other:latest")
