"""What an operation is about to do, as data: its effects, its work, and the differences a reader may want to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "install",
    "write",
    "start",
    "restart",
    "remove",
    "fetch",
    "create",
    "load",
    "repair",
    "enable",
    "await",
    "refuse",
    "reload",
]


@dataclass(frozen=True)
class Effect:
    """One thing that becomes different on the host.

    Attributes:
        kind: what is done.
        what: to what.
        why: the difference that calls for it.
        interrupts: whether requests in flight are cut by it.
    """

    kind: Kind
    what: str
    why: str
    interrupts: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.why}" + (" (cuts its requests)" if self.interrupts else "")


@dataclass(frozen=True)
class FileChange:
    """A file that is written, or removed where `after` is None."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Changes:
    """The outcome of comparing a host with what is declared.

    Attributes:
        effects: what becomes different; none means that the host is as declared.
        work: what the remote script is told to do.
        files: files that are written or removed.
        warnings: what the user should know, and nothing is done about.
    """

    effects: tuple[Effect, ...] = ()
    work: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[FileChange, ...] = ()
    warnings: tuple[str, ...] = ()


def on_no_interface(address: str, state: Mapping[str, Any]) -> str:
    """Why nothing can listen at `host:port` on this host; empty where something can, or where nobody could be asked."""
    host = address.rpartition(":")[0].strip("[]")
    if host not in state.get("away", []):
        return ""
    return f"host {host} is declared, and no interface of it has that address; correct `host` in engines.ollama"
