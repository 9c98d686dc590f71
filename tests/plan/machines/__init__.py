"""Machines as `inferfleet.probe` sees them; README.md says of each what was recorded and what was derived."""

import json
from pathlib import Path
from typing import Any

from inferfleet import probe

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.txt"))
RECORDED = sorted(path.stem for path in (HERE / "recorded").glob("*.xml"))


def text(name: str) -> str:
    """What the host printed."""
    return (HERE / f"{name}.txt").read_text()


def state(name: str) -> dict[str, Any]:
    """What the probe makes of it; each call gives a state of its own, to be broken by tests."""
    return probe.answer(text(name).splitlines())


def without_python(sections: dict[str, str]) -> dict[str, Any]:
    """The state of a host without python3, where `nvidia-smi` said this."""
    shown = "".join(f"=== {name}\n{said}\n" for name, said in {"nvml": "", **sections}.items())
    return probe.answer(shown.splitlines())


def recorded(name: str) -> dict[str, Any]:
    """The state that a recorded `nvidia-smi -q -x` gives."""
    return without_python({"smi-xml": (HERE / "recorded" / f"{name}.xml").read_text(), "smi-xml-code": "0"})


def cards(name: str) -> list[dict[str, Any]]:
    """The cards alone, as NVML said them."""
    line = text(name).rpartition("=== nvml\n")[2].strip()
    found: list[dict[str, Any]] = json.loads(line)["cards"]
    return found
