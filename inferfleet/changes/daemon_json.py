"""Our keys in Docker's daemon.json beside those of other people, and which of them the running daemon does not have.

What we set is written down with what was there before (`ours`): a key that is declared no longer goes back to that,
unless somebody has changed it since. Of lists of registries only our own entries are ours.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LISTS = ("registry-mirrors", "insecure-registries")
# What the daemon takes up on SIGHUP, as long as the key is in the file (moby 29, daemon/reload.go; tried with 26.1).
RELOADABLE = ("live-restore", *LISTS)
# Of these `/info` says nothing.
UNTOLD = ("ip", "log-opts")
DEFAULTS: Mapping[str, Any] = {
    "live-restore": False,
    "log-driver": "json-file",
    "registry-mirrors": [],
    "insecure-registries": [],
    "default-address-pools": [],
}
Notes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Merged:
    """The file as it must be.

    Attributes:
        content: all of it.
        ours: notes of what is ours in it.
        changed: our keys that differ from the file as it is.
    """

    content: dict[str, Any]
    ours: Notes
    changed: tuple[str, ...]

    @property
    def text(self) -> str:
        """As Docker's own documentation writes it."""
        return json.dumps(self.content, indent=4) + "\n"

    def value(self, key: str) -> Any:
        """What the file will say of a key; None where nothing."""
        return _get(self.content, key)


def alone(content: Mapping[str, Any], keys: Iterable[str]) -> str:
    """These keys of the file, as it writes them; those of other people, whose values may be secrets, are not told."""
    theirs_too = () if content.get("log-driver") == "local" else ("log-opts",)
    told = {key: _get(content, key) for key in keys if key not in theirs_too}
    return json.dumps({key: value for key, value in told.items() if value is not None}, indent=4) + "\n"


def parse(text: str | None) -> dict[str, Any] | str:
    """The object in the file, empty where there is no file or nothing in it; or why it cannot be used."""
    if not (text or "").strip():
        return {}
    try:
        found = json.loads((text or "").lstrip("\ufeff"))
    except ValueError as error:
        return f"is not JSON ({error})"
    if not isinstance(found, dict):
        return "is not a JSON object"
    if not isinstance(found.get("features", {}), dict):
        return "has `features` that is not an object"
    return found


def merge(found: Mapping[str, Any], wanted: Mapping[str, Any], ours: Notes) -> Merged:
    """Other people's keys stay, ours are as declared, and what is ours no longer goes back."""
    content, notes, changed = copy.deepcopy(dict(found)), {}, []
    wanted = {**wanted, "log-opts": _log_options(found, wanted["log-opts"])} if "log-opts" in wanted else wanted
    for key in sorted({*wanted, *ours}):
        now, note = _get(found, key), ours.get(key)
        if key in LISTS:
            value, kept = _entries(now, wanted.get(key, []), note)
        elif key in wanted:
            value, kept = wanted[key], note or {"before": now}
            kept = {**kept, "set": value} if note or now != value else None
        else:
            value, kept = note["before"] if note and now == note["set"] else now, None
        if kept is not None:
            notes[key] = kept
        if value != now:
            changed.append(key)
            _set(content, key, value)
    return Merged(content, notes, tuple(changed))


def _log_options(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the same driver stay; those of another would keep Docker from starting."""
    there = found.get("log-opts") if found.get("log-driver") == "local" else None
    return {**(there if isinstance(there, dict) else {}), **wanted}


def _entries(now: Any, wanted: Iterable[str], note: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any] | None]:
    """Theirs, then ours; None where nothing is left and nothing was there before."""
    added = note["set"] if note else []
    theirs = [entry for entry in now or [] if entry not in added]
    own = [entry for entry in wanted if entry not in theirs]
    before = note["before"] if note else now
    value = theirs + own
    return value if value or before is not None else None, {"before": before, "set": own} if own else None


def _get(content: Mapping[str, Any], key: str) -> Any:
    outer, _, inner = key.partition(".")
    return (content.get(outer) or {}).get(inner) if inner else content.get(outer)


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """None takes the key away, and an object that it leaves empty."""
    outer, _, inner = key.partition(".")
    if inner:
        value = {k: v for k, v in {**(content.get(outer) or {}), inner: value}.items() if v is not None} or None
    content[outer] = value
    if value is None:
        del content[outer]


def expected(merged: Merged, wanted: Mapping[str, Any], before: Notes, cdi_by_default: bool) -> dict[str, Any]:
    """What `/info` must say once the file is in force, of the keys that are ours or were; of lists, our entries."""
    found: dict[str, Any] = {key: wanted.get(key, []) for key in LISTS if key in wanted or key in before}
    defaults = {**DEFAULTS, "features.cdi": cdi_by_default}
    for key in sorted({*wanted, *before} - {*LISTS, *UNTOLD}):
        value = merged.value(key)
        found[key] = defaults.get(key) if value is None else value
    return found


def pending(
    merged: Merged, wanted: Mapping[str, Any], before: Notes, in_force: Mapping[str, Any], cdi_by_default: bool
) -> dict[str, str]:
    """Our keys that the running daemon does not have as the file says -> in words, how it has them."""
    found = {}
    for key, value in expected(merged, wanted, before, cdi_by_default).items():
        if key not in LISTS:
            if value != in_force[key]:
                found[key] = f"{key} is {shown(in_force[key])}, declared is {shown(value)}"
            continue
        there = [entry.rstrip("/") for entry in in_force[key]]
        stays = [entry.rstrip("/") for entry in merged.value(key) or []]
        if lacks := [entry for entry in value if entry.rstrip("/") not in there]:
            found[key] = f"{key} lacks {', '.join(lacks)}"
        old = [entry.rstrip("/") for entry in before.get(key, {}).get("set", [])]
        if left := [entry for entry in old if entry in there and entry not in stays]:
            found[key] = f"{key} still has {', '.join(left)}"
    return found


def shown(value: Any) -> str:
    """A value as the file writes it; `unset` for none."""
    return "unset" if value is None else value if isinstance(value, str) else json.dumps(value)
