"""Changes of maps at run time: words for HAProxy's admin socket, where a reload is not needed."""

import re
from collections.abc import Iterator, Mapping

from inferfleet.gateway.files import File

# Who may no longer ask is refused first; what a new key needs is there before the key.
_ORDER = ("models", "tags", "allow", "sets", "rpm", "concurrency", "providers", "keys")
# The socket takes a line of at most one buffer.
_LONGEST = 100_000


def commands(before: Mapping[str, File], after: Mapping[str, File], etc: str) -> tuple[str, ...] | None:
    """What turns the running gateway from one set of files into another; None where that takes a reload.

    Each is one line for `admin.sock`. They may hold secrets (a provider's key), so they are shown nowhere.

    Args:
        before: path -> file, as the running gateway read them.
        after: as they shall be.
        etc: directory of the files.
    """
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    if any(not _is_live(before.get(path)) or not _is_live(after.get(path)) for path in changed):
        return None
    names = [name for name in _ORDER if f"maps/{name}.map" in changed]
    lines: list[str] = []
    for name in (name for name in ("keys",) if name in names):
        lines += _gone(before, after, f"maps/{name}.map", etc)
    for name in names:
        lines += _new(before, after, f"maps/{name}.map", etc)
    for name in (name for name in names if name != "keys"):
        lines += _gone(before, after, f"maps/{name}.map", etc)
    return None if any(len(line) > _LONGEST for line in lines) else tuple(lines)


def _is_live(file: File | None) -> bool:
    return file is not None and file.entries is not None


def _entries(files: Mapping[str, File], path: str) -> Mapping[str, str]:
    return files[path].entries or {}


def _gone(before: Mapping[str, File], after: Mapping[str, File], path: str, etc: str) -> Iterator[str]:
    kept = _entries(after, path)
    return (f"del map {etc}/{path} {_word(key)}" for key in _entries(before, path) if key not in kept)


def _new(before: Mapping[str, File], after: Mapping[str, File], path: str, etc: str) -> Iterator[str]:
    old = _entries(before, path)
    for key, value in _entries(after, path).items():
        if old.get(key) != value:
            yield f"{'set' if key in old else 'add'} map {etc}/{path} {_word(key)} {_word(value)}"


def _word(text: str) -> str:
    """One word of the socket's language (HAProxy 3.0, management.txt 9.3: spaces, semicolons and backslashes)."""
    return re.sub(r"([\\ ;<>])", r"\\\1", text)
