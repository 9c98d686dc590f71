"""A token out of an engine that speaks as OpenAI does: vLLM, SGLang, llama-server, ..."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from inferfleet.prober.asking import Answer, opened
from inferfleet.prober.config import Server
from inferfleet.prober.ollama import rate, refuse
from inferfleet.prober.results import Progress, Result, Unwell


async def probe(server: Server, progress: Progress, now: Callable[[], float], full: bool) -> Result:
    """One probe; none of a server that is full of work. `now` is the clock."""
    if full:
        return Result("busy", "all slots are taken")
    started = now()
    answer = await opened(server.address, *_question(server), server.limits.connect_s, progress)
    try:
        await refuse(answer)
        if server.kind == "embedding":
            data = json.loads(await answer.text()).get("data")
            if not (data and data[0].get("embedding")):
                raise Unwell("empty", "answers 200 with nothing")
            return Result("ok", first_token_s=now() - started)
        return await _tokens(answer, progress, now, started)
    finally:
        answer.close()


def _question(server: Server) -> tuple[str, dict[str, Any]]:
    if server.kind == "embedding":
        return "/v1/embeddings", {"model": server.model, "input": "1"}
    messages = [{"role": "user", "content": "1"}]
    wanted = {"max_tokens": server.limits.tokens, "temperature": 0, "stream": True}
    return "/v1/chat/completions", dict(wanted, model=server.model, messages=messages)


async def _tokens(answer: Answer, progress: Progress, now: Callable[[], float], started: float) -> Result:
    """Server-sent events until one says why it ends, or `[DONE]`."""
    finished = False
    while not finished:
        line = await answer.line()
        if not line:
            word = "other" if progress.tokens else "empty"
            raise Unwell(word, "broke off its answer" if progress.tokens else "answers 200 with nothing")
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            break
        event = json.loads(data)
        if event.get("error"):
            raise Unwell("http", f"200, then: {event['error']}")
        for choice in (event.get("choices") or [])[:1]:
            finished = bool(choice.get("finish_reason"))
            # Ended by the number of tokens: they were computed, though a special one has no text.
            if _has_text(choice) or (choice.get("finish_reason") == "length" and not progress.tokens):
                progress.tokens.append(now())
    if not progress.tokens:
        raise Unwell("empty", "answers 200 with nothing")
    return Result("ok", first_token_s=progress.tokens[0] - started, tokens_per_s=rate(progress.tokens))


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return any(delta.get(name) for name in ("content", "reasoning_content", "reasoning")) or bool(choice.get("text"))
