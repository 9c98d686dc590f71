"""pydantic's errors in the house's form: `where: what is wrong (got value); what to do`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_MUST_BE = {
    "bool_type": "must be True or False",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a dict",
    "model_type": "must be a dict of settings",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be lower-case letters, digits and dashes, beginning with a letter",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


class _Text(NamedTuple):
    wrong: str
    got: str
    todo: str


def shown(value: Any) -> str:
    """A value as an error shows it: at most 60 characters, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(path: Iterable[str | int]) -> str:
    """A path as a user would write it: `gpus[0].uuid`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What to do about a key nobody knows: the nearest known one, or all of them."""
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"


def lines(error: ValidationError, where: str, data: Any, noun: type[BaseModel]) -> list[str]:
    """One line for each place in `data` that pydantic refused.

    Args:
        error: what pydantic raised while parsing `data`.
        where: how the place of `data` itself is called, such as `gpu1` or `models.llama2:13b`.
        data: the raw value.
        noun: the class that was asked to hold it, for its field names.
    """
    found: dict[str, list[_Text]] = {}
    for detail in error.errors():
        path, value = _locate(detail, data)
        place = dotted((where, *path)) if path else where
        if detail["type"] == "extra_forbidden":
            place, value = dotted((where, *path[:-1])), path[-1]
        found.setdefault(place, []).append(_text(detail, value, noun))
    return [line for place, texts in found.items() for line in _joined(place, texts)]


def _joined(place: str, texts: list[_Text]) -> Iterator[str]:
    """Members of a union each complain about the same value: one line says what any of them would take."""
    for got in dict.fromkeys(text.got for text in texts):
        of_value = [text for text in texts if text.got == got]
        wrong = " or ".join(dict.fromkeys(text.wrong for text in of_value)).replace(" or must be ", " or ")
        todo = next((text.todo for text in of_value if text.todo), "")
        yield f"{place}: {wrong}" + (f" (got {got})" if got else "") + (f"; {todo}" if todo else "")


def _locate(detail: ErrorDetails, data: Any) -> tuple[list[str | int], Any]:
    """The part of pydantic's location that exists in the data (it adds the members of unions, too)."""
    path: list[str | int] = []
    for part in detail["loc"]:
        inside = (isinstance(data, Mapping) and part in data) or (
            isinstance(data, Sequence) and not isinstance(data, str) and isinstance(part, int) and part < len(data)
        )
        if not inside:
            if detail["type"] == "missing":
                path.append(part)
            break
        path.append(part)
        data = data[part]
    return path, data


def _text(detail: ErrorDetails, value: Any, noun: type[BaseModel]) -> _Text:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "inferfleet":
        return _Text(context["wrong"], "" if isinstance(value, Mapping | list) else shown(value), context["todo"])
    if kind == "extra_forbidden":
        return _Text(f"unknown key {value!r}", "", unknown_key(str(value), _known(detail, noun)))
    if kind == "missing":
        return _Text("is missing", "", _purpose(str(detail["loc"][-1]), noun))
    if kind == "literal_error":
        return _Text(f"must be {context['expected']}", shown(value), "")
    if kind in _BOUNDS:
        key, phrase = _BOUNDS[kind]
        return _Text(f"{phrase} {context[key]}", shown(value), "")
    return _Text(_MUST_BE.get(kind, detail["msg"].lower()), shown(value), "")


def _class_at(detail: ErrorDetails, noun: type[BaseModel]) -> type[BaseModel]:
    """The class whose field the last part of the location names."""
    for part in detail["loc"][:-1]:
        field = noun.model_fields.get(part) if isinstance(part, str) else None
        found = _models_in(field.annotation) if field else []
        noun = found[0] if found else noun
    return noun


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _known(detail: ErrorDetails, noun: type[BaseModel]) -> list[str]:
    return list(_class_at(detail, noun).model_fields)


def _purpose(name: str, noun: type[BaseModel]) -> str:
    for candidate in (noun, *(model for field in noun.model_fields.values() for model in _models_in(field.annotation))):
        if name in candidate.model_fields:
            return f"add it: {candidate.model_fields[name].description}".rstrip(".")
    return "add it"
