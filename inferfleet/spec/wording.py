"""pydantic's errors in the house's form: `where: what is wrong (got value); what to do`."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from inferfleet.spec.engine import OllamaEngine
from inferfleet.spec.node import CARDS, DeclaredInstance
from inferfleet.spec.server import ServerEngine

_BARE = "write it without quotes or unit"
# Kind of pydantic's error -> what is wrong, what to do.
_MUST_BE = {
    "bool_type": ("must be True or False", "write True or False, without quotes"),
    "int_type": ("must be a whole number", _BARE),
    "int_from_float": ("must be a whole number", _BARE),
    "float_type": ("must be a number", _BARE),
    "finite_number": ("must be a finite number", _BARE),
    "string_type": ("must be text", "put it in quotes"),
    "tuple_type": ("must be a list", "write [...], also around a single entry"),
    "dict_type": ("must be a dict", 'write {"name": value, ...}'),
    "model_type": ("must be a dict of settings", 'write {"setting": value, ...}'),
    "string_too_short": ("must not be empty", "say it, or leave the key out"),
}
_BOUNDS = {
    "greater_than": ("gt", "is too small", "more than"),
    "greater_than_equal": ("ge", "is too small", "at least"),
    "less_than": ("lt", "is too large", "less than"),
    "less_than_equal": ("le", "is too large", "at most"),
}


class _Text(NamedTuple):
    wrong: str
    got: str
    todo: str
    meaning: str = ""


def shown(value: Any) -> str:
    """A value as an error shows it: at most 60 characters, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(*path: object) -> str:
    """A path as a user would write it: `gpus[0].uuid`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if isinstance(part, str) and part.isprintable() else shown(part)
            text += f".{word}" if text else word
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
        if detail["type"] in ("extra_forbidden", "invalid_key"):
            value = detail["loc"][-1] if detail["type"] == "extra_forbidden" else detail["input"]
            path = path[:-1] if path and path[-1] == value else path
        found.setdefault(dotted(where, *path), []).append(_text(detail, value, noun))
    return [line for place, texts in found.items() for line in _joined(place, texts)]


def _joined(place: str, texts: list[_Text]) -> Iterator[str]:
    """Members of a union each complain about the same value: one line says what any of them would take."""
    # What says no value, such as an unknown key, is a matter of its own.
    for about in dict.fromkeys((text.got, "" if text.got else text.wrong) for text in texts):
        got = about[0]
        of_value = [text for text in texts if (text.got, "" if text.got else text.wrong) == about]
        wrongs = list(dict.fromkeys(text.wrong for text in of_value))
        todo = of_value[0].todo if len(wrongs) == 1 else f"write one of them: {of_value[0].meaning}"
        wrong = " or ".join(wrongs).replace(" or must be ", " or ")
        yield f"{place}: {wrong}" + (f" (got {got})" if got else "") + f"; {todo}"


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
        got = "" if isinstance(value, Mapping | list) or context["hide"] else shown(value)
        return _Text(context["wrong"], got, context["todo"])
    if kind == "extra_forbidden":
        return _Text(f"unknown key {value!r}", "", _unknown(str(value), _class_at(detail, noun)))
    if kind == "invalid_key":
        return _Text(f"the key {shown(value)} is no text", "", "put it in quotes")
    meaning = _meaning(detail, noun)
    if kind == "missing":
        return _Text("is missing", "", f"add it: {meaning}")
    if kind == "literal_error":
        choices = str(context["expected"])
        todo = f"write {'one of them' if ' or ' in choices else choices}: {meaning}"
        return _Text(f"must be {choices}", shown(value), todo, meaning)
    if kind in _BOUNDS:
        key, wrong, phrase = _BOUNDS[kind]
        return _Text(wrong, shown(value), f"write {phrase} {context[key]:.12g}: {meaning}", meaning)
    if kind == "tuple_type" and detail["loc"] == ("gpus",) and (todo := _cards(value)):
        return _Text("must be a list", shown(value), todo)
    wrong, todo = _MUST_BE.get(kind, (detail["msg"].lower(), f"write it anew: {meaning}"))
    return _Text(wrong, shown(value), todo, meaning)


def _unknown(key: str, noun: type[BaseModel]) -> str:
    if noun is DeclaredInstance and key in {**OllamaEngine.model_fields, **ServerEngine.model_fields}:
        return "it belongs to the engine: set it under `engines` of this host or its group, for all its instances"
    return unknown_key(key, list(noun.model_fields))


def _cards(value: Any) -> str:
    """What to write for `"4xA30"` or `4`."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return f'write ["A30"] * {value}, with the name of the card'
    several = CARDS.fullmatch(value) if isinstance(value, str) else None
    return f'write ["{several[2]}"] * {several[1]}' if several else ""


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


def _meaning(detail: ErrorDetails, noun: type[BaseModel]) -> str:
    """What the field at the location is, from its description: the first sentence, as the end of a line."""
    fields = _class_at(detail, noun).model_fields
    name = next((part for part in reversed(detail["loc"]) if part in fields), "")
    text = (fields[str(name)].description or str(name)) if name else "see the reference of the inventory"
    text = text.split(". ")[0].rstrip(".").replace("; ", ", ")
    return text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
