"""What the gateway answers by itself: errors and lists, in the shape of the API that was asked."""

import json
from collections.abc import Iterable

SHAPES = ("openai", "ollama")
# By name: type and code in OpenAI's words, and the text. HAProxy's own errors are named by their status.
_ERRORS: dict[str, tuple[str, str, str]] = {
    "400": ("invalid_request_error", "bad_request", "The request is no valid HTTP."),
    "400json": (
        "invalid_request_error",
        "invalid_json",
        "The request body must be one JSON object with a text 'model', no key twice, 'stream' true or false.",
    ),
    "401": ("invalid_request_error", "invalid_api_key", "Missing or unknown key. Send 'Authorization: Bearer KEY'."),
    "403model": ("invalid_request_error", "model_not_allowed", "This key may not use this model."),
    "403clear": (
        "invalid_request_error",
        "key_sent_in_clear",
        "A key was sent without TLS. Take it for known to others, ask for a new one, and use https://.",
    ),
    "404model": (
        "invalid_request_error",
        "model_not_found",
        "There is no model of this name here. GET /v1/models lists yours.",
    ),
    "404path": ("invalid_request_error", "unknown_url", "There is no such endpoint here."),
    "405": ("invalid_request_error", "method_not_allowed", "This endpoint is not asked in this way."),
    "408": ("invalid_request_error", "request_timeout", "The request did not arrive in time."),
    "413": ("invalid_request_error", "request_too_large", "The request body is larger than {most} bytes."),
    "429": ("rate_limit_error", "rate_limited", "Too many requests. Try again later."),
    "429rate": ("rate_limit_error", "rate_limited", "This key has sent too many requests in the last minute."),
    "429concurrency": ("rate_limit_error", "too_many_at_once", "This key has too many requests open at once."),
    "429share": ("rate_limit_error", "share_full", "This key has too many requests waiting for this model."),
    "429queue": ("rate_limit_error", "queue_full", "Too many requests wait for this model. Try again later."),
    "429takeover": (
        "rate_limit_error",
        "takeover_full",
        "The model that stands in for this one has taken over as much as it may. Try again later.",
    ),
    "500": ("server_error", "gateway_error", "The gateway failed."),
    "502": ("server_error", "bad_upstream", "The engine's answer was broken or cut off."),
    "502provider": ("server_error", "provider_refused", "The provider behind this model refuses the gateway's key."),
    "503": (
        "server_error",
        "overloaded",
        "No engine is ready for this model, or its queue was too slow. Try again later.",
    ),
    "504": ("server_error", "upstream_timeout", "The engine did not answer in time."),
}
OWN = (400, 408, 413, 429, 500, 502, 503, 504)


def errors(most: int) -> dict[str, str]:
    """`name|shape` -> body. An error before the shape is known is named `name|`, and has OpenAI's.

    Args:
        most: largest request body in bytes.
    """
    found: dict[str, str] = {}
    for name, (kind, code, text) in _ERRORS.items():
        said = text.format(most=most)
        openai = _line({"error": {"message": said, "type": kind, "param": None, "code": code}})
        found |= {f"{name}|": openai, f"{name}|openai": openai, f"{name}|ollama": _line({"error": said})}
    return found


def openai_list(names: Iterable[str]) -> str:
    """The answer to `GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "inferfleet"} for name in names]
    return _line({"object": "list", "data": data})


def ollama_list(names: Iterable[str]) -> str:
    """The answer to `GET /api/tags`, as far as a gateway knows it (Ollama 0.32, api/types.go: ListModelResponse)."""
    details = {
        "parent_model": "", "format": "gguf", "family": "", "families": None, "parameter_size": "",
        "quantization_level": "",
    }  # fmt: skip
    rest = {"modified_at": "1970-01-01T00:00:00Z", "size": 0, "digest": "", "details": details}
    return _line({"models": [{"name": name, "model": name, **rest} for name in names]})


def _line(data: object) -> str:
    """On one line: it becomes the value of a map."""
    return json.dumps(data, separators=(",", ":"))
