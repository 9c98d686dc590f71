"""Which engines, weights and caches a card can run, from `engines.toml` and `formats.toml`, and what runs instead."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

from inferfleet.catalogue.card import Card, Version, version

# The first CUDA line that compiles for a card, newest first (docs.nvidia.com/datacenter/tesla/drivers/
# cuda-toolkit-driver-and-architecture-matrix.html).
_FIRST_CUDA: tuple[tuple[Version, Version], ...] = (
    ((10, 0), (12, 8)),
    ((9, 0), (11, 8)),
    ((8, 9), (11, 8)),
    ((8, 0), (11, 0)),
    ((7, 5), (10, 0)),
    ((7, 0), (9, 0)),
    ((6, 0), (8, 0)),
    ((5, 0), (6, 5)),
)
# In whose place others are named, best known first; the rest is dead, or wraps one of these.
_ALTERNATIVES = ("ollama", "llama.cpp", "vllm", "sglang", "lmdeploy", "tensorrt-llm")
# Jetson Xavier; llama.cpp has no flash attention for it.
_NO_FLASH: Version = (7, 2)


@dataclass(frozen=True)
class Refusal:
    """Why a card does not run something, in one line.

    Attributes:
        reason: what is needed and what the card has.
        instead: what to do, one clause; empty where nothing does.
    """

    reason: str
    instead: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.instead}" if self.instead else self.reason


@cache
def _data(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


def engines() -> tuple[str, ...]:
    """Every engine that is known here, by its key."""
    return tuple(_data("engines.toml"))


def needs() -> Iterator[tuple[str, str, str, str]]:
    """For people: each engine's title, the version from which a line holds, compute capability and CUDA line."""
    for engine in engines():
        for line in _data("engines.toml")[engine]["lines"]:
            since = "the beginning" if line["since"] == "0" else line["since"]
            since = f"images with `{line['tag']}`" if "tag" in line else since
            yield _title(engine), since, line["compute"], line.get("cuda", "")


def unable(engine: str, release: str | None, card: Card, *, weights: str = "", kv: str = "") -> Refusal | None:
    """Why a card cannot run an engine, or not with these weights or this cache; None where it can.

    Args:
        engine: its key in `engines.toml`.
        release: its version, or its image's tag; None for the newest that is known here.
        card: the card.
        weights: their format, as users name it: `fp8`, `awq`, `q4_K_M`.
        kv: the type of the cache: `f16`, `q8_0`, `fp8`.

    Raises:
        KeyError: no such engine.
    """
    problem = _engine_problem(engine, release, card)
    if problem:
        return Refusal(problem, _others(engine, card))
    for kind, name in (("weights", weights), ("kv", kv)):
        line = _format_line(kind, name.lower(), engine, release)
        if line and _lacks(card, line):
            what = f"{name} weights" if kind == "weights" else f"a cache in {name}"
            reason = f"{what} on {_title(engine)} need{'s' if kind == 'kv' else ''} {_needs(line)}, the {_has(card)}"
            return Refusal(reason, f"use {line.get('instead', 'another format')}")
    return None


def _engine_problem(engine: str, release: str | None, card: Card) -> str | None:
    title = f"{_title(engine)} {release}" if release else _title(engine)
    if card.compute is None:
        vulkan = _data("engines.toml")[engine].get("vulkan", False)
        return None if vulkan else f"{title} needs an NVIDIA card, the {card.name} is by {card.vendor.upper()}"
    line = _engine_line(engine, release)
    if card.compute < version(line["compute"]):
        return f"{title} needs compute capability {line['compute']}, the {_has(card)}"
    first = next(cuda for lowest, cuda in _FIRST_CUDA if card.compute >= lowest)
    if "cuda" in line and version(line["cuda"]) < first:
        needs = ".".join(map(str, first))
        return f"{title} is built with CUDA {line['cuda']}, the {card.name} needs CUDA {needs} or newer"
    return None


def _others(engine: str, card: Card) -> str:
    """Which engines do run on the card, and which versions of this one."""
    able = [_title(other) for other in _ALTERNATIVES if other != engine and not _engine_problem(other, None, card)][:3]
    able += [f"{_title(engine)} {which}" for which in _other_versions(engine, card)][-1:]
    if not able:
        return ""
    listed = " and ".join([", ".join(able[:-1]), able[-1]] if len(able) > 1 else able)
    return f"{listed} run{'' if len(able) > 1 else 's'} on it"


def _other_versions(engine: str, card: Card) -> Iterator[str]:
    lines = _data("engines.toml")[engine]["lines"]
    for line, newer in pairwise(lines):
        runs = [not _engine_problem(engine, since, card) for since in (line["since"], newer["since"])]
        if runs == [True, False]:
            yield f"before {newer['since']}"
        elif runs == [False, True]:
            yield f"from {newer['since']} on"


def _title(engine: str) -> str:
    return str(_data("engines.toml")[engine]["title"])


def _has(card: Card) -> str:
    compute = card.compute or (0, 0)
    return f"{card.name} has {compute[0]}.{compute[1]}"


def _numbers(release: str) -> tuple[int, ...]:
    """`v0.32.0-cu129` as (0, 32, 0); `b10488` as (10488,)."""
    found = re.match(r"[vb]?(\d+(?:\.\d+)*)", release)
    return tuple(map(int, found[1].split("."))) if found else ()


def _holds(line: dict[str, Any], release: str | None) -> bool:
    """A release without a number, such as `latest`, is as new as can be."""
    if line.get("tag", "") not in (release or ""):
        return False
    numbers = _numbers(release) if release else ()
    return not numbers or numbers >= _numbers(line.get("since", "0"))


def _engine_line(engine: str, release: str | None) -> dict[str, Any]:
    lines: list[dict[str, Any]] = _data("engines.toml")[engine]["lines"]
    return next(line for line in reversed(lines) if _holds(line, release))


def _format_line(kind: str, name: str, engine: str, release: str | None) -> dict[str, Any] | None:
    lines: list[dict[str, Any]] = _data("formats.toml")[kind]
    for line in lines:
        if name in line["names"] and {engine, "any"} & set(line["engines"]) and _holds(line, release):
            return line
    return None


def _lacks(card: Card, line: dict[str, Any]) -> bool:
    if card.compute is None:
        return False
    return card.compute < version(line["compute"]) or (line.get("flash", False) and card.compute == _NO_FLASH)


def _needs(line: dict[str, Any]) -> str:
    return f"{'flash attention, so ' if line.get('flash') else ''}compute capability {line['compute']}"
