"""A token out of Ollama, and where it keeps the model (0.32: `/api/ps`, `/api/generate`, `/api/embed`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from inferfleet.prober.asking import Answer, opened
from inferfleet.prober.config import Server
from inferfleet.prober.results import Progress, Result, Unwell


async def probe(server: Server, progress: Progress, now: Callable[[], float], full: bool) -> Result:
    """One probe; of a server that is full of work only where its model is. `now` is the clock."""
    loaded = await _loaded(server, progress)
    progress.awake = True
    progress.absent = loaded is None
    if loaded is not None:
        _on_its_card(server, loaded)
    if full:
        return Result("busy", "all slots are taken")
    if loaded is None and not server.resident:
        return Result("asleep")
    started = now()
    options = {"num_predict": server.limits.tokens, "temperature": 0}
    if server.kind == "embedding":
        body: dict[str, Any] = {"model": server.model, "input": "1"}
        return await _vector(server, progress, now, body)
    # Raw: no template. And no num_ctx: another one than the model was loaded with would load it again.
    body = {"model": server.model, "prompt": "1", "raw": True, "stream": True, "options": options}
    answer = await opened(server.address, "/api/generate", body, server.limits.connect_s, progress)
    try:
        await refuse(answer)
        return await _tokens(answer, progress, now, started)
    finally:
        answer.close()


async def refuse(answer: Answer) -> None:
    """An answer with another status than 200 is a finding."""
    if answer.status == 200:
        return
    text = f"{answer.status} {said(await answer.text())}".strip()
    if answer.status == 503 and "loading" in text.lower():
        raise Unwell("loading", text)
    if answer.status in (429, 503):
        raise Unwell("http", text, soft=True)
    if answer.status >= 500:
        raise Unwell("http", text)
    raise Unwell("other", f"model missing: {text}" if answer.status == 404 else text)


def said(body: bytes) -> str:
    """The engine's own words in an error, whatever their shape."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return body[:80].decode("ascii", "replace")


def rate(times: list[float]) -> float | None:
    """Tokens per second after the first."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None


async def _loaded(server: Server, progress: Progress) -> dict[str, Any] | None:
    """The model as `/api/ps` shows it; None where it is not in memory.

    Names of the same weights share one copy in memory, which has the name that was asked for first.
    """
    answer = await opened(server.address, "/api/ps", None, server.limits.connect_s, progress)
    try:
        await refuse(answer)
        running = json.loads(await answer.text())["models"] or []
        names = {_tagged(name) for name in (server.model, *server.aliases)}
        return next((dict(model) for model in running if _tagged(model["name"]) in names), None)
    except (ValueError, LookupError, TypeError) as error:
        raise Unwell("other", "/api/ps is not Ollama's") from error
    finally:
        answer.close()


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _on_its_card(server: Server, loaded: dict[str, Any]) -> None:
    size, vram = loaded.get("size") or 0, loaded.get("size_vram") or 0
    if vram < size * server.vram:
        raise Unwell("cpu", f"{100 * vram // size} % of the model is in a card, declared is {100 * server.vram:.0f} %")


async def _vector(server: Server, progress: Progress, now: Callable[[], float], body: dict[str, Any]) -> Result:
    started = now()
    answer = await opened(server.address, "/api/embed", body, server.limits.connect_s, progress)
    try:
        await refuse(answer)
        vectors = json.loads(await answer.text()).get("embeddings")
        if not (vectors and vectors[0]):
            raise Unwell("empty", "answers 200 with nothing")
        return Result("ok", first_token_s=now() - started)
    finally:
        answer.close()


async def _tokens(answer: Answer, progress: Progress, now: Callable[[], float], started: float) -> Result:
    """What streams in until it says that it is done."""
    while True:
        line = await answer.line()
        if not line:
            raise Unwell("other" if progress.tokens else "empty", _ended(progress))
        event = json.loads(line)
        if "error" in event:
            raise Unwell("http", f"200, then: {event['error']}")
        # A model may begin by thinking, or say at once that it has nothing to say: it computed a token.
        if event.get("response") or event.get("thinking") or event.get("eval_count"):
            progress.tokens.append(now())
        if event.get("done"):
            if not progress.tokens:
                raise Unwell("empty", "answers 200 with nothing")
            rated = progress.tokens[:-1] if event.get("eval_count") and len(progress.tokens) > 1 else progress.tokens
            return Result("ok", first_token_s=progress.tokens[0] - started, tokens_per_s=rate(rated))


def _ended(progress: Progress) -> str:
    return "broke off its answer" if progress.tokens else "answers 200 with nothing"
