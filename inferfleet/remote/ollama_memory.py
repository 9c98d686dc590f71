"""What an instance of Ollama has in memory, as the scripts on a host bring it about; a part of those that import it."""

from __future__ import annotations

import time

from inferfleet.remote.ollama_api import PATIENCE_S, Failed, ask, say

LOOK_S = 10


def load(address: str, name: str) -> None:
    """The model is in an instance's memory and stays there."""
    started = time.time()
    can = ask(address, "/api/show", {"model": name}).get("capabilities", [])
    if "embedding" in can and "completion" not in can:
        ask(address, "/api/embed", {"model": name, "input": "", "keep_alive": -1}, PATIENCE_S)
    else:
        ask(address, "/api/generate", {"model": name, "keep_alive": -1, "stream": False}, PATIENCE_S)
    say(f"{name} is in memory at {address} after {time.time() - started:.1f} s")


def in_memory(address: str, names: list[str]) -> list[str]:
    """Which of these models an instance has in memory; none where it does not answer."""
    if not names:
        return []
    try:
        there = [model["name"] for model in ask(address, "/api/ps", timeout=LOOK_S)["models"]]
    except (Failed, LookupError, TypeError):
        return []
    return [name for name in names if name in there]


def load_again(address: str, names: list[str]) -> None:
    """What an instance had before it was started anew it has again; what does not load is said when all is loaded."""
    for name in names:
        try:
            load(address, name)
        except Failed:
            return
