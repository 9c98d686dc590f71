"""The file of measurements: what is read, what is added, and what of it holds for a setting."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from inferfleet.calibration import Measurement, Setting, append, digest_of, merged, peak, read, setting_of
from inferfleet.errors import FleetError
from inferfleet.plan import make_plan
from inferfleet.spec import Model, parse_fleet
from tests.spec.inventories import DIGEST, OLLAMA, fleet

GIB = 1024**3
A, B, PIN = (f"sha256:{letter * 64}" for letter in "abc")
SETTING = Setting("ollama", "0.32.15", 4096, 4, "f16", True, None, "A30", 1)
MEASURED = Measurement("llama2:13b", A, None, SETTING, 20 * GIB, "nvml", "2026-01-31")


def _entry(**changed: Any) -> dict[str, Any]:
    entry = {
        **{"model": "llama2:13b", "engine": "ollama", "version": "0.32.15", "context": 4096, "parallel": 4},
        **{"kv_cache_type": "f16", "flash_attention": True, "card": "A30", "cards": 1},
        **{"peak_bytes": 20 * GIB, "measured_by": "nvml", "date": "2026-01-31"},
    }
    return {key: value for key, value in {**entry, **changed}.items() if value is not None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calibration.json"


# --- the file -----------------------------------------------------------------------------------


def test_what_is_written_is_read(path: Path) -> None:
    assert read(path) == ()
    others = (replace(MEASURED, weights=None), replace(MEASURED, pin=PIN, setting=replace(SETTING, batch=64)))
    for one in (MEASURED, *others):
        path.unlink(missing_ok=True)
        assert append(path, [one]) == read(path) == (one,)
    assert [entry.name for entry in path.parent.iterdir()] == ["calibration.json"]


def test_an_entry_is_plain(path: Path) -> None:
    append(path, [replace(MEASURED, weights=None)])
    assert json.loads(path.read_text()) == {"format": 1, "measurements": [_entry()]}


def test_nothing_new_does_not_touch_it(path: Path) -> None:
    append(path, [MEASURED])
    before = path.stat()
    jitter = replace(MEASURED, peak_bytes=MEASURED.peak_bytes + 100 * 2**20, date="2026-02-28")
    for again in ([], [MEASURED], [jitter], [replace(MEASURED, peak_bytes=1)], [replace(jitter, measured_by="ollama")]):
        assert append(path, again) == ()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert append(path.with_name("other.json"), []) == ()
    assert not path.with_name("other.json").exists()


def test_the_larger_and_the_drivers_count_are_kept() -> None:
    more = replace(MEASURED, peak_bytes=21 * GIB)
    own = replace(MEASURED, peak_bytes=30 * GIB, measured_by="ollama")
    assert merged([MEASURED], [more]) == merged([more], [MEASURED]) == merged([], [MEASURED, more]) == (more,)
    assert merged([own], [MEASURED]) == merged([MEASURED], [own]) == merged([], [own, MEASURED]) == (MEASURED,)


def test_a_pin_that_is_learned_later_is_added() -> None:
    pinned = replace(MEASURED, pin=PIN)
    assert merged([MEASURED], [pinned]) == merged([pinned], [MEASURED]) == (pinned,)
    more = replace(MEASURED, peak_bytes=30 * GIB)
    assert merged([pinned], [more]) == (replace(more, pin=PIN),)


def test_the_order_is_that_of_names_and_settings(path: Path) -> None:
    """One more measurement is one more block in a diff, wherever it was made."""
    some = [
        replace(MEASURED, model="a:1", weights=B),
        replace(MEASURED, model="a:1", weights=B, setting=replace(SETTING, parallel=8)),
        MEASURED,
        replace(MEASURED, model="z:1", weights=None),
    ]
    append(path, some)
    whole = path.read_text()
    for first in some:
        path.unlink()
        append(path, [first])
        append(path, reversed(some))
        assert path.read_text() == whole
    assert list(read(path)) == some


BROKEN = {
    "": "is no JSON (Expecting value: line 1 column 1 (char 0)); mend it",
    "<<<<<<< HEAD": "is no JSON",
    "[]": "holds no list of measurements; mend it",
    '{"format": 1}': "holds no list of measurements",
    '{"format": 2, "measurements": []}': "is of format 2, this version knows 1; update inferfleet",
    '{"measurements": []}': "is of format None, this version knows 1",
}


@pytest.mark.parametrize(("text", "says"), BROKEN.items(), ids=str)
def test_a_broken_file_is_one_line(path: Path, text: str, says: str) -> None:
    path.write_text(text)
    for use in (read, lambda where: append(where, [MEASURED])):
        with pytest.raises(FleetError) as found:
            use(path)
        assert str(found.value).startswith(f"{path}: {says}")
        assert "\n" not in str(found.value)
    assert path.read_text() == text


WRONG: list[tuple[Any, str]] = [
    ("x", "is no object (got 'x')"),
    (_entry(context=None), "context is missing"),
    (_entry(context="4096"), "context must be a whole number, 1 or more (got '4096')"),
    (_entry(context=True), "context must be a whole number, 1 or more (got True)"),
    (_entry(peak_bytes=0), "peak_bytes must be a whole number, 1 or more (got 0)"),
    (_entry(flash_attention=1), "flash_attention must be true or false (got 1)"),
    (_entry(card=3), "card must be a text (got 3)"),
    (_entry(measured_by="me"), "measured_by must be nvml or ollama (got 'me')"),
    (_entry(gpu="A30"), "'gpu' is no key of a measurement"),
]


@pytest.mark.parametrize(("entry", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_entry_is_named(path: Path, entry: Any, says: str) -> None:
    path.write_text(json.dumps({"format": 1, "measurements": [_entry(), entry]}))
    with pytest.raises(FleetError) as found:
        read(path)
    hint = "mend it, or remove it and run verify --calibrate"
    assert str(found.value) == f"{path}: measurements[1]: {says}; {hint}"


def test_what_cannot_be_read_or_written_says_so(path: Path) -> None:
    path.mkdir()
    with pytest.raises(FleetError, match="cannot be read"):
        read(path)
    with pytest.raises(FleetError, match="cannot be written"):
        append(path / "none" / "calibration.json", [MEASURED])
    (path.parent / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FleetError, match="it is no text"):
        read(path.parent / "binary")


def test_a_link_and_its_mode_stay(path: Path) -> None:
    real = path.with_name("real.json")
    path.symlink_to(real)
    append(path, [MEASURED])
    real.chmod(0o640)
    append(path, [replace(MEASURED, model="other:1", weights=B)])
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(read(path)) == 2


def _many(path: Path, process: int) -> None:
    for number in range(20):
        append(path, [replace(MEASURED, model=f"m{process}-{number}", weights=None)])


def test_of_runs_at_once_none_is_forgotten(path: Path) -> None:
    context = get_context("fork")
    runs = [context.Process(target=_many, args=(path, number)) for number in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(read(path)) == 80


# --- which measurement holds --------------------------------------------------------------------

OTHERWISE: dict[str, Callable[[Setting], Setting]] = {
    "version": lambda one: replace(one, version="0.32.14"),
    "context": lambda one: replace(one, context=8192),
    "parallel": lambda one: replace(one, parallel=1),
    "cache": lambda one: replace(one, kv_cache_type="q8_0"),
    "flash attention": lambda one: replace(one, flash_attention=False),
    "batch": lambda one: replace(one, batch=64),
    "card": lambda one: replace(one, card="A100 80GB"),
    "cards": lambda one: replace(one, cards=2),
}


@pytest.mark.parametrize("change", OTHERWISE.values(), ids=OTHERWISE)
def test_of_another_setting_it_says_nothing(change: Callable[[Setting], Setting]) -> None:
    assert peak([MEASURED], "llama2:13b", None, SETTING) == MEASURED
    assert peak([MEASURED], "llama2:13b", None, change(SETTING)) is None


def test_the_weights_decide_where_both_are_known() -> None:
    unknown, pinned = replace(MEASURED, weights=None), replace(MEASURED, pin=PIN)
    assert peak([MEASURED], "same-weights", A, SETTING) == MEASURED
    assert peak([MEASURED], "llama2:13b", B, SETTING) is None
    assert peak([MEASURED], "other", None, SETTING) is None
    assert peak([unknown], "llama2:13b", B, SETTING) == unknown
    assert peak([unknown], "other", B, SETTING) is None
    assert peak([pinned], "llama2:13b", PIN, SETTING) == pinned
    assert peak([replace(MEASURED, model="tiny:latest")], "tiny", None, SETTING)


def test_the_drivers_count_then_the_newest() -> None:
    old = replace(MEASURED, date="2025-12-31", peak_bytes=30 * GIB)
    own = replace(MEASURED, date="2026-06-30", measured_by="ollama")
    assert peak([old, MEASURED, own], "llama2:13b", None, SETTING) == MEASURED
    assert peak([own, old], "llama2:13b", None, SETTING) == old


def test_settings_are_those_of_the_instance_and_the_models_own() -> None:
    engine = {**OLLAMA, "parallel": 4, "kv_cache_type": "q8_0", "per": "node"}
    gpus = ["rtx4090", {"model": "NVIDIA GeForce RTX 4090"}, {"model": "llvmpipe", "backend": "cuda", "vram_gib": 4}]
    hosts = fleet(gpus=gpus, engines={"ollama": engine}, models={"m": {"engine": "ollama", "vram_gib": 1}})
    (node,) = make_plan(parse_fleet(hosts)).nodes
    plain = Model(engine="ollama")
    found = setting_of(plain, node.instances[0])
    assert found == Setting("ollama", "0.32.15", 4096, 4, "q8_0", True, None, "RTX 4090 + llvmpipe 4 GiB", 3)
    own = Model(engine="ollama", parameters={"num_ctx": 512, "num_batch": 64})
    assert setting_of(own, node.instances[0]) == replace(found, context=512, batch=64)


def test_a_declared_digest_is_that_of_what_a_model_is_made_from() -> None:
    models = {
        "base": Model(engine="ollama", pin=PIN),
        "made": Model(engine="ollama", source="base:latest", system="Be brief."),
        "file": Model(engine="ollama", source="file:/x.gguf", sha256=DIGEST),
        "round": Model(engine="ollama", source="about"),
        "about": Model(engine="ollama", source="round"),
    }
    assert digest_of("made", models) == digest_of("base", models) == PIN
    assert digest_of("file", models) == f"sha256:{DIGEST}"
    assert digest_of("round", models) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_leave_says_so(path: Path) -> None:
    path.parent.chmod(0o500)
    with pytest.raises(FleetError, match="cannot be written"):
        append(path, [MEASURED])
