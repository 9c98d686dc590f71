"""Checks of the models: in the store, and answering from where they should."""

from collections.abc import Mapping

from inferfleet.checks.base import Peak, Target
from inferfleet.engines.ollama_store import Entry

_PROMPT, _TOKENS = "Hello", 8


def in_store(entry: Entry, target: Target) -> str:
    """The model is in the store, every blob has its digest, and a pin is met."""
    found = target.report["models"].get(entry.name)
    if not found:
        return "it is missing"
    if found["broken"]:
        digest, state = next(iter(found["broken"].items()))
        return f"{digest[:19]} is {state}"
    if entry.pin and entry.pin not in (found["manifest"], *found["weights"]):
        return f"it is {found['manifest'][:19]}, pinned to {entry.pin[:19]}"
    return ""


def answers(address: str, model: str, expect: Mapping[str, str], on_gpu: bool, target: Target) -> str:
    """The model generates a token, gives the declared answers, and was computed where it should be.

    Ollama falls back to the CPU in silence (ollama#15918): every answer is 200, and only `size_vram` tells.
    """
    found = target.ask(address, model, list(expect) or [_PROMPT], 0 if expect else _TOKENS)
    if "error" in found:
        return str(found["error"])
    if not all(answer["tokens"] for answer in found["answers"].values()):
        return "it generated no token"
    for prompt, wanted in expect.items():
        got = found["answers"][prompt]["text"]
        if got != wanted:
            return f"{prompt!r} was answered {got!r}, expected {wanted!r}"
    sizes = [(size, vram) for name, size, vram in found["loaded"] if name in same(target, model)]
    wrong = _where(sizes, on_gpu)
    if on_gpu and not wrong:
        target.peaks.append(Peak(address, model, sizes[0][1], "ollama"))
    return wrong


def same(target: Target, model: str) -> set[str]:
    """Names that share their weights share a runner, so the model may stand in memory under another name."""
    store = {name: entry["weights"] for name, entry in target.report["models"].items() if entry}
    return {model} | {name for name, weights in store.items() if weights and weights == store.get(model)}


def _where(sizes: list[tuple[int, int]], on_gpu: bool) -> str:
    if not sizes:
        return "it is not in memory after it answered"
    size, vram = sizes[0]
    if on_gpu and vram != size:
        share = f"{100 * vram // size} % of it" if vram else "none of it"
        return f"it runs on the CPU: {share} is in the card's memory (size_vram {vram} of {size}); the card is not seen"
    return f"it runs on a GPU ({vram} bytes), declared is the CPU" if vram and not on_gpu else ""
