"""Keys of the gateway's users: who may ask which models, and how much. Only hashes are ever kept."""

import re
import tomllib
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from inferfleet.errors import SpecError
from inferfleet.spec import wording
from inferfleet.spec.base import Listed, Noun, mistake


class Key(Noun):
    """One entry `[[key]]` of the file of keys."""

    id: str = Field(description="Whose it is; the log names it.")
    sha256: str = Field(description="SHA-256 of the key, as `printf %s KEY | sha256sum` prints it.")
    models: Annotated[tuple[str, ...], Listed] = Field(
        ("*",), description='Names that it may ask; `["*"]` for all, also those to come.'
    )
    rpm: int = Field(600, description="Requests in a minute.", ge=1, le=1_000_000)
    concurrency: int = Field(64, description="Requests at once.", ge=1, le=100_000)

    @field_validator("id")
    @classmethod
    def _id_form(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,47}", value):
            raise mistake("is not a key's id", "write up to 48 lower-case letters, digits, dots and dashes")
        return value

    @field_validator("sha256")
    @classmethod
    def _hash_form(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise mistake("is not a SHA-256", "write 64 lower-case hexadecimal digits, never the key itself", hide=True)
        return value

    @field_validator("models")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise mistake("names no model", 'write ["*"] for all, or remove the key')
        return value


def parse_keys(text: str, where: str, offered: tuple[str, ...]) -> tuple[Key, ...]:
    """The keys of a file.

    Args:
        text: the file, in TOML.
        where: how to call it in a mistake.
        offered: every name that the gateway offers.

    Raises:
        SpecError: one line for each mistake; no line shows a hash or a key.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError([f"{where}: is no TOML ({error}); write [[key]] with id and sha256"]) from None
    entries = data.pop("key", [])
    if data or not isinstance(entries, list):
        raise SpecError([f"{where}: holds something else than keys; write each as [[key]] with id and sha256"])
    mistakes: list[str] = []
    keys: list[Key] = []
    for position, entry in enumerate(entries):
        try:
            keys.append(Key.model_validate(entry))
        except ValidationError as error:
            mistakes += wording.lines(error, f"{where}: key[{position}]", _hidden(entry), Key)
    if mistakes or (mistakes := [*_twice(keys, where), *_unknown(keys, where, offered)]):
        raise SpecError(dict.fromkeys(mistakes))
    return tuple(keys)


def _hidden(entry: object) -> object:
    return {**entry, "sha256": "..."} if isinstance(entry, dict) and "sha256" in entry else entry


def _twice(keys: list[Key], where: str) -> list[str]:
    wrong = []
    for position, key in enumerate(keys):
        for other in keys[:position]:
            if key.id == other.id:
                wrong.append(f"{where}: id {key.id!r} is there twice; give each key an id of its own")
            elif key.sha256 == other.sha256:
                wrong.append(f"{where}: {other.id} and {key.id} are the same key; give each user another")
    return wrong


def _unknown(keys: list[Key], where: str, offered: tuple[str, ...]) -> list[str]:
    return [
        f"{where}: {key.id}: names {model!r}, which is not offered; {wording.unknown_key(model, offered)}".replace(
            "known keys:", "offered are"
        )
        for key in keys
        for model in key.models
        if model != "*" and model not in offered
    ]
