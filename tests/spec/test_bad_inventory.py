"""Every mistake gives its line, and no junk whatever gives anything but such lines."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from inferfleet.errors import SpecError
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from tests.spec import bad_gateway, bad_inventory
from tests.spec.inventories import DIGEST, UUID

CASES = [*bad_inventory.CASES, *bad_gateway.CASES]
# where: what is wrong (got value); what to do
LINE = re.compile(r"[^\n;]+?: [^\n]+(; |; did you mean )[^\n]+")
JARGON = ("input", "should", "valid", "type=", "pydantic", "str_", "instance of", "tuple", "NoneType")


@pytest.mark.parametrize(("hosts", "lines"), [(hosts, lines) for _, hosts, *lines in CASES], ids=[c[0] for c in CASES])
def test_lines(hosts: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        make_plan(parse_fleet(hosts))
    assert list(raised.value.mistakes) == lines


def test_table() -> None:
    names = [name for name, *_ in CASES]
    assert len(names) == len(set(names)) >= 50
    for _, _, *lines in CASES:
        for line in lines:
            assert LINE.fullmatch(line), line
            assert not [word for word in JARGON if word in re.sub(r"\(got .*?\);", "", line)], line


EVERYTHING: dict[str, dict[str, Any]] = {
    "gpu1": {
        "gpus": [{"model": "A30", "uuid": UUID.format(1), "backend": "cuda", "vram_gib": 24.0}, {"model": "A30"}],
        "instances": [
            {"engine": "ollama", "gpus": [0], "port": 11500, "name": "one"},
            {"engine": "ollama", "gpus": [1]},
        ],
        "models": {
            "llama2:13b": {
                "engine": "ollama",
                "source": "llama2:7b",
                "pin": f"sha256:{DIGEST}",
                "replicas": 1,
                "parameters": {"temperature": 0.5, "seed": 1, "use_mmap": True, "stop": ["a", "b"]},
                "template": "{{ .Prompt }}",
                "system": "Be brief.",
                "expect": {"Hello": "Hi"},
            },
            "own": {"engine": "ollama", "source": "https://example.net/x.gguf", "sha256": DIGEST, "vram_gib": 1},
        },
        "engines": {
            "ollama": {
                "version": "0.32.15",
                "runtime": "native",
                "per": "card",
                "host": "127.0.0.1",
                "port": 11434,
                "parallel": 4,
                "max_loaded_models": 2,
                "max_queue": 5,
                "keep_alive": "5m",
                "context": 4096,
                "flash_attention": True,
                "kv_cache_type": "f16",
                "load_timeout": "5m",
                "models_dir": "/srv/ollama/models",
                "environment": {"A": "b"},
                "sha256": DIGEST,
            }
        },
        "sources": {"ollama": "https://example.net/ollama", "models": "http://example.net"},
    }
}
JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 2.5, float("nan"), float("inf"), 10**30, "", "x", "a\nb", "24G", "é" * 200, "\0"),
    *([], [1], ["x"], [{}], [None], [[]], {}, {"a": 1}, {1: 2}, {None: None}, {"x": {"y": [{}]}}, {("a",): 1}),
    *((1,), ("a",), {1, 2}, b"x", object(), print, re),
]
KEYS: list[Any] = [1, None, True, ("a",), "zzz", "engin", "é", "a b", "a\nb", ""]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path[1:]:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _places(inner, (*path, key))


def _with(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    hosts: Any = copy.deepcopy(EVERYTHING)
    inner = hosts
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(hosts)


def _lines(hosts: dict[str, Any]) -> tuple[str, ...]:
    try:
        make_plan(parse_fleet(hosts))
    except SpecError as error:
        return error.mistakes
    return ()


PLACES = list(_places(EVERYTHING))


def test_everything_is_said() -> None:
    """The fuzz below starts from a fleet without mistakes in which every field is given."""
    assert not _lines(EVERYTHING)
    assert len(PLACES) > 45


@pytest.mark.parametrize("path", PLACES, ids=[".".join(map(str, path[1:])) for path in PLACES])
def test_junk(path: tuple[Any, ...]) -> None:
    refused = 0
    for junk in JUNK:
        lines = _lines(_with(path, junk))
        refused += bool(lines)
        assert all(LINE.fullmatch(line) and len(line) < 500 for line in lines), (junk, lines)
    assert refused > len(JUNK) // 2


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_junk_keys(key: Any) -> None:
    dicts = [path for path in PLACES if isinstance(_at(path), dict)]
    for path in dicts:
        lines = _lines(_with((*path, key), 1))
        assert lines, path
        assert all(LINE.fullmatch(line) for line in lines), (path, lines)


def _at(path: tuple[Any, ...]) -> Any:
    value: Any = EVERYTHING
    for key in path:
        value = value[key]
    return value
