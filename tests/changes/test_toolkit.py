"""The toolkit's packages, the CDI specification and Docker's view of it against what is declared."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from inferfleet.changes import toolkit
from inferfleet.engines.toolkit_host import PACKAGES, ToolkitHost
from inferfleet.placed import PlacedGpu
from inferfleet.remote.cdi import cdi_told
from tests.remote.cdi_specs import SLICE, A, B, C, yaml_of

RUN, ETC = "/var/run/cdi/nvidia.yaml", "/etc/cdi/nvidia.yaml"
FINGERPRINT = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
GPUS = (PlacedGpu(0, "A30", A, "cuda"), PlacedGpu(1, "A30", B, "cuda"))
DECLARED = ToolkitHost("1.20.1", "https://nvidia.github.io/libnvidia-container", FINGERPRINT, GPUS)
OLD = replace(DECLARED, version="1.17.8")
BY_HAND = yaml_of(A).replace("NVIDIA_VISIBLE_DEVICES=void", "TZ=UTC")
UP = {"load": "loaded", "enabled": "enabled", "active": "active", "result": "success"}
State = dict[str, Any]


def as_declared(declared: ToolkitHost = DECLARED) -> State:
    """The answer of `remote/toolkit_state.py` where all is as declared."""
    source = {"text": declared.apt_source["text"], "key": [FINGERPRINT], "conflicts": []}
    return copy.deepcopy(
        {
            "root": True,
            "apt": {
                "installed": dict.fromkeys(PACKAGES, f"{declared.version}-1"),
                "held": sorted(PACKAGES),
                "source": source,
            },
            "units": {"nvidia-cdi-refresh.path": UP, "nvidia-cdi-refresh.service": {**UP, "active": "inactive"}},
            "output": None,
            "specs": {RUN if declared.refreshes else ETC: cdi_told(yaml_of(A, B))},
            "fresh": cdi_told(yaml_of(A, B)),
            "docker": {
                "directories": ["/etc/cdi", "/var/run/cdi"],
                "discovered": None,
                "default_runtime": "runc",
            },
        }
    )


def says(state: State, declared: ToolkitHost = DECLARED) -> list[str]:
    return [str(effect) for effect in toolkit(declared, state).effects]


def spoilt(path: str, value: Any, declared: ToolkitHost = DECLARED) -> State:
    state = as_declared(declared)
    *parents, last = path.split(" ")
    at = state
    for name in parents:
        at = at[name]
    at[last] = value
    return state


@pytest.mark.parametrize("declared", [DECLARED, OLD, replace(DECLARED, gpus=())], ids=["1.20", "1.17", "no card"])
def test_nothing_to_do(declared: ToolkitHost) -> None:
    assert says(as_declared(declared), declared) == []


@pytest.mark.parametrize(
    "change", [("specs " + RUN + " ours", True), ("output", RUN), ("docker", None), ("docker directories", [])]
)
def test_no_difference(change: tuple[str, Any]) -> None:
    assert says(spoilt(*change)) == []


@pytest.mark.parametrize("state", [{}, {"apt": {"installed": {}, "held": [], "source": None}, "docker": None}])
def test_bare(state: State) -> None:
    assert says(state) == [
        "write /etc/apt/sources.list.d/inferfleet-nvidia-toolkit.sources: is missing",
        *(f"install {name} 1.20.1: is missing" for name in PACKAGES),
        f"write {RUN}: is missing",
    ]
    work = toolkit(DECLARED, state).work
    assert work["packages"] == dict.fromkeys(PACKAGES, "1.20.1")
    assert work["source"] == DECLARED.apt_source
    assert (work["hold"], work["refresh"], work["devices"]) == (list(PACKAGES), True, [A, B])


DRIFT: dict[str, tuple[str, Any, str]] = {
    "older": ("apt installed libnvidia-container1", "1.19.1-1", "install libnvidia-container1 1.20.1: is 1.19.1-1"),
    "not held": ("apt held", sorted(PACKAGES)[:3], "repair nvidia-container-toolkit-base: is not held at its version"),
    "other source": ("apt source text", "x", "differs from what is declared"),
    "other key": ("apt source key", ["A" * 40], "its key is not the declared one"),
    "no key": ("apt source key", None, "its key is not the declared one"),
    "conflict": (
        "apt source conflicts",
        ["/etc/apt/sources.list.d/nvidia-container-toolkit.list"],
        "remove /etc/apt/sources.list.d/nvidia-container-toolkit.list: names NVIDIA's repository with another key; it "
        "is kept as /etc/apt/sources.list.d/nvidia-container-toolkit.list.disabled",
    ),
    "unit disabled": (
        "units nvidia-cdi-refresh.service enabled",
        "disabled",
        "enable nvidia-cdi-refresh.service: does not start at boot",
    ),
    "unit masked": ("units nvidia-cdi-refresh.path load", "masked", "repair nvidia-cdi-refresh.path: is masked"),
    "path stopped": (
        "units nvidia-cdi-refresh.path active",
        "inactive",
        "start nvidia-cdi-refresh.path: is inactive",
    ),
    "no spec": ("specs", {}, f"write {RUN}: is missing"),
    "broken spec": (f"specs {RUN}", {"error": "x"}, f"write {RUN}: cannot be read: x"),
    "driver": (
        "fresh",
        cdi_told(yaml_of(A, B, driver="580.82.07")),
        "mounts driver 550.163.01, installed is 580.82.07",
    ),
    "card swapped": (f"specs {RUN}", cdi_told(yaml_of(A, C)), f"names {C}, which nvidia-ctk does not find now"),
    "card added": (f"specs {RUN}", cdi_told(yaml_of(A)), f"does not name {B}"),
    "slices made": ("fresh", cdi_told(yaml_of(A, B, SLICE)), f"does not name {SLICE}"),
    "slices gone": (
        f"specs {RUN}",
        cdi_told(yaml_of(A, B, SLICE)),
        f"names {SLICE}, which nvidia-ctk does not find now",
    ),
    "places changed": (
        f"specs {RUN}",
        cdi_told(yaml_of(B, A)),
        f"gives /dev/nvidia1 as {A}, which is /dev/nvidia0 now",
    ),
    "something else": (f"specs {RUN} common", "0", "differs from what nvidia-ctk says now"),
    "old copy": (
        "specs",
        {ETC: cdi_told(yaml_of(A, C)), RUN: cdi_told(yaml_of(A, B))},
        f"remove {ETC}: is an old copy beside {RUN}; it goes stale",
    ),
}


@pytest.mark.parametrize(("path", "value", "words"), DRIFT.values(), ids=DRIFT)
def test_drift(path: str, value: Any, words: str) -> None:
    (effect,) = says(spoilt(path, value))
    assert effect.endswith(words)


@pytest.mark.parametrize(
    ("path", "value", "refreshes"),
    [
        ("apt held", [], False),
        ("units nvidia-cdi-refresh.service enabled", "disabled", False),
        ("specs", {}, True),
        ("apt installed libnvidia-container1", "1.19.1-1", True),
    ],
)
def test_only_what_must_be_is_done(path: str, value: Any, refreshes: bool) -> None:
    """Nothing is fetched unless source or packages differ: a site without its mirror can still have cards swapped."""
    work = toolkit(DECLARED, spoilt(path, value)).work
    assert work["refresh"] is refreshes
    assert bool(work["source"]) is ("installed" in path)
    assert bool(work["packages"]) is ("installed" in path)


REFUSED: dict[str, tuple[str, Any, str]] = {
    "no apt": ("apt", None, "has no dpkg"),
    "mixed": ("apt source mixed", ["/etc/apt/sources.list"], "/etc/apt/sources.list names NVIDIA's repository"),
    "no driver": ("fresh", {"error": "Driver/library version mismatch"}, "nvidia-ctk cannot read the cards: Driver/"),
    "card missing": ("fresh", cdi_told(yaml_of(A, C)), f"card {B} is declared, nvidia-ctk finds {A}, {C}; correct"),
    "sliced": (
        "fresh",
        cdi_told(yaml_of(A, SLICE)),
        "correct the inventory, where a card in MIG mode goes by its slices",
    ),
    "no card": ("fresh devices", {}, f"card {A} is declared, nvidia-ctk finds no card; correct the inventory"),
    "stranger": (
        "specs /etc/cdi/own.yaml",
        cdi_told(BY_HAND),
        f"/etc/cdi/own.yaml names nvidia.com/gpu={A} too and was not written by nvidia-ctk; move it away",
    ),
    "unreadable": ("specs /etc/cdi/own.yaml", {"error": "x"}, "is about NVIDIA cards and cannot be read (x); move it"),
    "elsewhere": ("docker directories", ["/srv/cdi"], 'in /srv/cdi only; add /var/run/cdi to "cdi-spec-dirs"'),
    "not discovered": ("docker discovered", [f"nvidia.com/gpu={A}"], f"Docker does not see nvidia.com/gpu={B}, which"),
}


@pytest.mark.parametrize(("path", "value", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(path: str, value: Any, words: str) -> None:
    (effect,) = toolkit(DECLARED, spoilt(path, value)).effects
    assert effect.kind == "refuse"
    assert words in effect.why


def test_a_broken_toolkit_does_not_stop_its_repair() -> None:
    """An nvidia-ctk too old to know `cdi generate` says an error; it is replaced."""
    state = spoilt("fresh", {"error": "No help topic for 'cdi'"})
    state["apt"]["installed"]["nvidia-container-toolkit-base"] = "1.10.0-1"
    assert says(state) == ["install nvidia-container-toolkit-base 1.20.1: is 1.10.0-1"]


def test_strangers_other_cards_are_theirs() -> None:
    text = BY_HAND.replace(A, C).replace('"0"', "chat")
    assert says(spoilt("specs /etc/cdi/own.yaml", cdi_told(text))) == []


def test_run_is_where_var_run_leads() -> None:
    assert says(spoilt("docker directories", ["/run/cdi/"])) == []


def test_the_place_that_the_refresh_unit_was_told() -> None:
    """By NVIDIA_CTK_CDI_OUTPUT_FILE_PATH in its environment file: the other file is the copy."""
    assert says(spoilt("output", ETC)) == [
        f"remove {RUN}: is an old copy beside {ETC}; it goes stale",
        f"write {ETC}: is missing",
    ]


def test_a_declared_index_is_a_name_too() -> None:
    declared = replace(DECLARED, gpus=(PlacedGpu(2, "A30", None, "cuda"), PlacedGpu(0, "x", None, "vulkan")))
    assert declared.devices == ("2",)
    (effect,) = toolkit(declared, as_declared()).effects
    assert effect.why.startswith("card 2 is declared")


def test_without_refresh_units() -> None:
    """Before 1.18 nothing writes the file at boot, so it lies in /etc and is ours."""
    state = as_declared(OLD)
    state["units"], state["specs"] = {}, {}
    assert says(state, OLD) == [f"write {ETC}: is missing"]
    assert toolkit(OLD, state).work["units"] == []
    state["specs"] = {ETC: cdi_told(BY_HAND)}
    (effect,) = toolkit(OLD, state).effects
    assert "was not written by nvidia-ctk" in effect.why


def test_upgrade_from_1_17_takes_our_file_away() -> None:
    state = as_declared(OLD)
    state["specs"][ETC]["ours"] = True
    effects = says(state)
    assert f"remove {ETC}: is an old copy beside {RUN}; it goes stale" in effects
    assert f"write {RUN}: is missing" in effects


@pytest.mark.parametrize(("runtime", "warned"), [("runc", False), ("crun", False), ("nvidia", True)])
def test_default_runtime(runtime: str, warned: bool) -> None:
    state = spoilt("docker default_runtime", runtime)
    assert bool(toolkit(DECLARED, state).warnings) is warned
    assert says(state) == []
