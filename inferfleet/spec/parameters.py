"""Ollama's model parameters: which there are, and what each takes.

Source: Ollama 0.32 `api/types.go`, `Options.FromMap`. A value of another type is stored at create time and refused at
each request; a fraction given for a whole number is cut in silence. So both are refused here.
"""

from typing import Any

from inferfleet.spec.base import mistake
from inferfleet.spec.wording import shown, unknown_key

# Of a smaller one Ollama makes this (0.32.15, server/sched.go, getRunner).
_LEAST_CONTEXT = 4
_INT, _NUMBER, _BOOL, _LIST = "a whole number", "a number", "True or False", "a list of texts"
PARAMETERS = {
    "num_ctx": _INT,
    "num_batch": _INT,
    "num_gpu": _INT,
    "main_gpu": _INT,
    "use_mmap": _BOOL,
    "num_thread": _INT,
    "num_keep": _INT,
    "seed": _INT,
    "num_predict": _INT,
    "draft_num_predict": _INT,
    "top_k": _INT,
    "top_p": _NUMBER,
    "min_p": _NUMBER,
    "typical_p": _NUMBER,
    "temperature": _NUMBER,
    "repeat_last_n": _INT,
    "repeat_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "stop": _LIST,
}


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters, lists as tuples.

    Raises:
        PydanticCustomError: a name is unknown to Ollama, or its value is of another type than Ollama takes.
    """
    for name, value in given.items():
        if name not in PARAMETERS:
            raise mistake(f"{shown(name)} is no Ollama parameter", unknown_key(name, list(PARAMETERS)))
        if not _is(PARAMETERS[name], value):
            raise mistake(f"{name} must be {PARAMETERS[name]} (got {shown(value)})", f"write it as in {_example(name)}")
        if name == "num_ctx" and value < _LEAST_CONTEXT:
            raise mistake(f"num_ctx is too small (got {value})", f"write at least {_LEAST_CONTEXT} tokens")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _is(kind: str, value: Any) -> bool:
    if kind == _LIST:
        return isinstance(value, list | tuple) and bool(value) and all(isinstance(text, str) for text in value)
    if isinstance(value, bool) or kind == _BOOL:
        return isinstance(value, bool) and kind == _BOOL
    if kind == _INT:
        return isinstance(value, int) and abs(value) < 2**63
    return isinstance(value, int | float) and abs(value) < 1e30


def _example(name: str) -> str:
    values = {_INT: "42", _NUMBER: "0.7", _BOOL: "True", _LIST: '["###", "User:"]'}
    return f'{{"{name}": {values[PARAMETERS[name]]}}}'
