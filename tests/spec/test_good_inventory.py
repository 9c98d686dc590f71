"""What a correct inventory becomes: short forms spelled out, defaults filled in, the same for the same data."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from inferfleet.spec import DeclaredInstance, Fleet, Gpu, OllamaEngine, parse_fleet, tagged
from tests.spec.inventories import DIGEST, LLAMA, OLLAMA, UUID, Hosts, fleet, host, instances, model, models, ollama


def _engine(hosts: Hosts) -> OllamaEngine:
    engine = parse_fleet(hosts).nodes[0].engines.ollama
    assert engine
    return engine


def test_card_by_name() -> None:
    (node,) = parse_fleet(fleet(gpus=["A30", {"model": "RTX 4090", "uuid": UUID.format(1), "vram_gib": 24}])).nodes
    assert node.node.gpus == (
        Gpu(model="A30", uuid=None, backend="cuda", vram_gib=None),
        Gpu(model="RTX 4090", uuid=UUID.format(1), backend="cuda", vram_gib=24),
    )


def test_defaults() -> None:
    """Each default as the reference states it; a change of one is a change of every fleet."""
    assert _engine(fleet()).model_dump() == {
        "version": "0.32.15",
        "runtime": "native",
        "image": None,
        "image_archive": None,
        "memory": None,
        "per": "card",
        "host": "127.0.0.1",
        "port": 11434,
        "parallel": 1,
        "max_loaded_models": 16,
        "max_queue": 512,
        "keep_alive": "forever",
        "context": 4096,
        "flash_attention": True,
        "kv_cache_type": "f16",
        "load_timeout": "5m",
        "models_dir": "/usr/share/ollama/.ollama/models",
        "environment": {},
        "sha256": None,
    }
    assert parse_fleet(fleet()).nodes[0].sources.model_dump() == {
        "ollama": "https://github.com/ollama/ollama/releases/download",
        "models": None,
        "images": None,
        "docker": "https://download.docker.com/linux",
        "docker_fingerprint": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        "nvidia_toolkit": "https://nvidia.github.io/libnvidia-container",
        "nvidia_toolkit_fingerprint": "C95B321B61E88C1809C4F759DDCAE044F796ECB0",
        "nvidia_driver": "https://developer.download.nvidia.com/compute/cuda/repos",
        "nvidia_driver_fingerprint": None,
    }
    node = parse_fleet(fleet()).nodes[0]
    assert node.docker.model_dump() == {
        "package": "docker-ce",
        "version": None,
        "replace": False,
        "live_restore": True,
        "log_max_size": "10m",
        "log_max_files": 3,
        "address_pools": (),
        "registry_mirrors": (),
        "insecure_registries": (),
        "require_digest": False,
    }
    assert node.driver.model_dump() == {"manage": False, "branch": None, "modules": None}
    assert node.toolkit.model_dump() == {"version": "1.20.1"}
    assert dict(parse_fleet(fleet()).models)["llama2:13b"].model_dump() == {
        "engine": "ollama",
        "source": None,
        "sha256": None,
        "pin": None,
        "replicas": "all",
        "placement": "balance",
        "on": (),
        "load": None,
        "shape": None,
        "format": None,
        "context": None,
        "parallel": None,
        "tensor_parallel": 1,
        "pipeline_parallel": 1,
        "vram_gib": None,
        "parameters": {},
        "template": None,
        "system": None,
        "aliases": (),
        "expect": {},
    }


@pytest.mark.parametrize(
    ("said", "meant"), [("forever", "forever"), ("1h30m", "1h30m"), ("1.5h", "1.5h"), (90, "90s"), (0, "0s")]
)
def test_durations(said: Any, meant: str) -> None:
    assert _engine(ollama(keep_alive=said)).keep_alive == meant


@pytest.mark.parametrize(
    "settings",
    [
        {"version": "0.30.0"},
        {"version": "1.0.0-rc2"},
        {"host": "::1"},
        {"host": "0.0.0.0"},
        {"models_dir": "/srv/ollama/models"},
        {"models_dir": "/usr/share/ollama/.ollama/models"},
        {"models_dir": "/var/lib/ollama"},
        {"models_dir": "/data/ollama-models"},
        {"models_dir": "/home/shared/models"},
        {"kv_cache_type": "q8_0"},
        {"kv_cache_type": "f16", "flash_attention": False},
        {"environment": {"HTTPS_PROXY": "http://p:3128", "PRICE": '5 $ "net" 100 %\\'}},
        {"port": 65535, "parallel": 512, "max_loaded_models": 128, "context": 131072, "sha256": DIGEST},
    ],
    ids=str,
)
def test_settings(settings: dict[str, Any]) -> None:
    engine = _engine(ollama(**settings))
    assert {name: getattr(engine, name) for name in settings} == settings


@pytest.mark.parametrize(
    "settings",
    [
        {"source": "llama2:7b"},
        {"source": "hf.co/user/model-GGUF:Q4_K_M"},
        {"source": "file:/srv/models/x.gguf", "sha256": DIGEST},
        {"source": "https://example.net/x.gguf?download=true", "sha256": DIGEST},
        {"pin": f"sha256:{DIGEST}"},
        {"replicas": 1},
        {"source": "x", "parameters": {"temperature": 0, "num_ctx": 8192, "use_mmap": False, "stop": ["###"]}},
        {"source": "x", "template": "{{ .Prompt }}", "system": "Be brief."},
        {"expect": {"Hello": "Hi\nthere"}},
    ],
    ids=str,
)
def test_models(settings: dict[str, Any]) -> None:
    parsed = dict(parse_fleet(model(**settings)).models)["m"]
    got = {name: getattr(parsed, name) for name in settings}
    if "parameters" in settings:
        got["parameters"] = {k: list(v) if isinstance(v, tuple) else v for k, v in parsed.parameters.items()}
    assert got == settings


def test_customised_under_another_name() -> None:
    parsed = dict(parse_fleet(models(brief={"source": "llama2", "system": "Be brief."}, llama2={})).models)
    assert parsed["brief"].is_customised
    assert not parsed["llama2"].is_customised


def test_file_may_be_customised_under_its_own_name() -> None:
    settings = {"source": "file:/srv/x.gguf", "sha256": DIGEST, "system": "Be brief."}
    assert dict(parse_fleet(model(**settings)).models)["m"].is_file


def test_instances_by_hand() -> None:
    (node,) = parse_fleet(instances({"gpus": [1], "port": 11500, "name": "chat"}, {})).nodes
    assert node.node.instances == (
        DeclaredInstance(engine="ollama", gpus=(1,), port=11500, name="chat"),
        DeclaredInstance(engine="ollama", gpus=(), port=None, name=None),
    )


def test_only_nodes_count() -> None:
    """Other hosts, and keys of the user's or pyinfra's own, are none of ours."""
    hosts = {"web1": {"anything": 1, "models": "mine"}, "gpu1": host(ssh_user="root", _sudo=True, resources=7)}
    assert [node.name for node in parse_fleet(hosts).nodes] == ["gpu1"]


def test_engines_and_sources_by_group() -> None:
    other = host(engines={"ollama": {**OLLAMA, "parallel": 8}}, sources={"ollama": "http://mirror.example.net/ollama/"})
    one, two = parse_fleet({"gpu1": host(), "gpu2": other}).nodes
    assert one.engines.ollama and two.engines.ollama
    assert (one.engines.ollama.parallel, two.engines.ollama.parallel) == (1, 8)
    assert two.sources.ollama == "http://mirror.example.net/ollama"


def test_same_data_same_fleet() -> None:
    one, two = parse_fleet(fleet()), parse_fleet(copy.deepcopy(fleet()))
    assert one == two
    assert one != parse_fleet(ollama(parallel=2))


def test_the_fleet_does_not_change_with_the_data() -> None:
    """Group data is shared among hosts; what is parsed once must not follow what somebody does to it later."""
    hosts = fleet(gpus=["A30"], models=dict(LLAMA))
    parsed = parse_fleet(hosts)
    hosts["gpu1"]["gpus"].append("A30")
    hosts["gpu1"]["models"]["other"] = {"engine": "ollama"}
    assert parsed == parse_fleet(fleet())


def test_frozen() -> None:
    parsed: Fleet = parse_fleet(fleet())
    with pytest.raises(ValidationError):
        parsed.nodes[0].node.gpus = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama2", "llama2:latest"),
        ("llama2:13b", "llama2:13b"),
        ("team/chat", "team/chat:latest"),
        ("hf.co/a/b:q4", "hf.co/a/b:q4"),
    ],
)
def test_tagged(name: str, full: str) -> None:
    assert tagged(name) == full


@pytest.mark.parametrize(("written", "kept"), [("0:0:0:0:0:0:0:1", "::1"), ("FD00::0A", "fd00::a"), ("::", "::")])
def test_addresses_as_the_kernel_writes_them(written: str, kept: str) -> None:
    assert _engine(ollama(host=written)).host == kept


@pytest.mark.parametrize(
    "hosts",
    [
        instances({"runtime": "docker"}, {}, engines={"ollama": {**OLLAMA, "image": "ollama/ollama:0.32.15-rocm"}}),
        instances({"runtime": "native"}, engines={"ollama": {**OLLAMA, "image": "x", "runtime": "docker"}}),
        {
            "gpu1": host(
                instances=[{"engine": "ollama", "runtime": "docker"}], engines={"ollama": {**OLLAMA, "image": "x"}}
            ),
            "gpu2": host(engines={"ollama": {**OLLAMA, "image": "x"}}),
        },
        ollama(runtime="docker", image="registry.example.net/own:1.0.0"),
        ollama(runtime="docker", image="ollama/ollama:latest"),
    ],
    ids=["one instance in docker", "engine in docker", "one host in docker", "own image", "tag without version"],
)
def test_an_image_that_a_container_is_made_from(hosts: Hosts) -> None:
    parse_fleet(hosts)
