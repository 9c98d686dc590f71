"""Ask a model on this host for an answer and say where it was computed, as one line of JSON.

Told {"address", "model", "prompts", "tokens"}. Each prompt is answered greedily; then `/api/ps` says how much of the
model is in a card's memory. An embedding model gives a vector instead of tokens.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

_STRANGER = "something else listens there, which does not speak as Ollama does"
# This host itself is never asked through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request.

    Raises:
        RuntimeError: it refuses, in Ollama's own words; or what listens there is not Ollama.
    """
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode() if body else None)
    try:
        with _DIRECT.open(request, timeout=300) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace").strip()
        # Ollama refuses with an object; a page is another program's.
        raise RuntimeError(f"{path} answers {error.code}: {said}" if said.startswith("{") else _STRANGER) from error
    except (ValueError, http.client.BadStatusLine) as error:
        raise RuntimeError(_STRANGER) from error


def chat(work: dict[str, Any], prompt: str) -> dict[str, Any]:
    """One greedy answer: its text and number of tokens."""
    message = {"role": "user", "content": prompt}
    body = {"model": work["model"], "messages": [message], "stream": False, "options": {"temperature": 0}}
    if work["tokens"]:
        body["options"] = {"temperature": 0, "num_predict": work["tokens"]}
    answer = post(work["address"], "/api/chat", body)
    return {"text": answer["message"]["content"], "tokens": answer.get("eval_count", 0)}


def held(work: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """What is in memory; with `keep_alive` 0 nothing is after an answer, so the model is held for one more question."""
    loaded = post(work["address"], "/api/ps", {})["models"]
    if not loaded:
        nothing = {"model": work["model"], "stream": False, **({"input": ""} if path == "/api/embed" else {})}
        post(work["address"], path, dict(nothing, keep_alive=60))
        loaded = post(work["address"], "/api/ps", {})["models"]
        post(work["address"], path, dict(nothing, keep_alive=0))
    return list(loaded)


def ask(work: dict[str, Any]) -> dict[str, Any]:
    """Every prompt's answer, and where the model is."""
    can = post(work["address"], "/api/show", {"model": work["model"]}).get("capabilities", [])
    started = time.time()
    embeds = "embedding" in can and "completion" not in can
    if embeds:
        vector = post(work["address"], "/api/embed", {"model": work["model"], "input": "ping"})["embeddings"][0]
        answers = {"ping": {"text": "", "tokens": len(vector)}}
    else:
        answers = {prompt: chat(work, prompt) for prompt in work["prompts"]}
    seconds = time.time() - started
    loaded = [[m["name"], m["size"], m["size_vram"]] for m in held(work, "/api/embed" if embeds else "/api/generate")]
    return {"answers": answers, "seconds": seconds, "loaded": loaded}


if __name__ == "__main__":
    try:
        found = ask(json.loads(sys.argv[1]))
    except (OSError, RuntimeError, ValueError, LookupError, http.client.HTTPException) as error:
        found = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(found) + "\n")
