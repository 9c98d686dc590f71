"""The prober's one file: JSON, read at the start and on SIGHUP."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, TypeVar

ENGINES = ("ollama", "openai")
KINDS = ("chat", "embedding")
Made = TypeVar("Made")


class ConfigError(Exception):
    """One line: what is wrong in the file."""


@dataclass(frozen=True)
class Limits:
    """How patient the prober is with one server; all times in seconds.

    HAProxy 3.0 counts the bytes of a stream that goes on every 5 s, and only with `option contstats`: `work_s` and
    `busy_s` must be above that.
    """

    every_s: float = 2.0  # from one probe to the next, of a server that is well
    again_s: float = 0.5  # the same after a miss
    connect_s: float = 1.0
    # Without a byte or token, of a server that has no request; some; as many as slots, or nobody knows how many.
    idle_s: float = 3.0
    work_s: float = 10.0
    busy_s: float = 30.0
    load_s: float = 900.0  # for the first token of a model that is not in memory
    streams_s: float = 600.0  # how long streams of the worker before may fill slots after a reload of HAProxy
    misses: int = 2  # in a row: down
    hits: int = 2  # in a row: up
    hold_s: float = 5.0  # from one change of the state to the next, at least
    tokens: int = 4  # asked for in one probe; with 1 the rate is not known
    restart_after_s: float = 0.0  # of a hang until a restart is asked for; 0: never
    restart_every_s: float = 900.0  # from one restart asked for to the next, at least


@dataclass(frozen=True)
class Server:
    """One `server` line of HAProxy."""

    backend: str
    server: str
    address: str  # host:port
    engine: str
    model: str
    aliases: tuple[str, ...] = ()  # further names that the engine has for the model
    kind: str = "chat"
    slots: int = 1  # what the engine computes at a time: HAProxy's maxconn
    vram: float = 0.0  # the share of an Ollama model that must be in a card's memory, 0 to 1
    resident: bool = True  # False: the model may leave the memory, and no probe may bring it back
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        """As HAProxy asks for it."""
        return f"{self.backend}/{self.server}"

    @property
    def same(self) -> tuple[Any, ...]:
        """What makes it the same engine: with this unchanged, the state outlives a new file."""
        return (self.name, self.address, self.engine, self.model, self.kind)


@dataclass(frozen=True)
class Config:
    """The whole file, and the digest of its text."""

    servers: tuple[Server, ...]
    agent: str = "127.0.0.1:9600"
    http: str = "127.0.0.1:9601"
    stats: tuple[str, ...] = ()  # HAProxy's stats sockets; `level user` is enough
    poll_s: float = 0.5
    at_once: int = 16  # probes that begin at the same time
    alone: bool = True  # False: others send requests to the engines, too
    outbox: str = ""  # where restarts are asked for
    digest: str = ""  # of the file's text; not in it


def load(path: str) -> Config:
    """The file as a Config.

    Raises:
        ConfigError: it cannot be read, or says what cannot be.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
        return parse(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(text: bytes) -> Config:
    """The text as a Config; a ConfigError where it cannot be one."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError("is not an object")
    data = dict(data)
    common, servers = data.pop("limits", {}), data.pop("servers", None)
    if not isinstance(servers, list):
        raise ConfigError("servers: must be a list")
    if "digest" in data:
        raise ConfigError("digest: is not known")
    _limits(common, "limits")
    found = tuple(_server(server, common, f"servers[{n}]") for n, server in enumerate(servers))
    names = [server.name for server in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"servers: {twice[0]} is there twice")
    config = replace(_made(Config, dict(data, servers=found), ""), digest=hashlib.sha256(text).hexdigest())
    split_address(config.agent, "agent")
    split_address(config.http, "http")
    if config.at_once < 1 or config.poll_s <= 0:
        raise ConfigError("at_once, poll_s: must be above 0")
    return config


def split_address(address: str, where: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; a ConfigError where it is neither."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65536 or (":" in host and host[0] + host[-1] != "[]"):
        raise ConfigError(f"{where}: is not host:port (got {address!r})")
    return host.strip("[]"), int(port)


def _server(data: Any, common: dict[str, Any], where: str) -> Server:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: must be an object")
    own = data.get("limits", {})
    if not isinstance(own, dict):
        raise ConfigError(f"{where}.limits: must be an object")
    limits = _limits(dict(common, **own), f"{where}.limits")
    server = _made(Server, dict(data, limits=limits), where)
    split_address(server.address, f"{where}.address")
    for name, value, allowed in (("engine", server.engine, ENGINES), ("kind", server.kind, KINDS)):
        if value not in allowed:
            raise ConfigError(f"{where}.{name}: is none of {', '.join(allowed)} (got {value!r})")
    if server.slots < 1 or not 0 <= server.vram <= 1:
        raise ConfigError(f"{where}: slots must be above 0, vram from 0 to 1")
    return server


def _limits(data: Any, where: str) -> Limits:
    limits = _made(Limits, data, where)
    for each in fields(Limits):
        value = getattr(limits, each.name)
        if not math.isfinite(value) or value < 0 or (value == 0 and each.name not in ("hold_s", "restart_after_s")):
            raise ConfigError(f"{where}.{each.name}: must be above 0 (got {value!r})")
    return limits


def _made(kind: type[Made], data: Any, where: str) -> Made:
    """A dataclass out of an object: every name known, every type right."""
    dot = f"{where}." if where else ""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: must be an object")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]  # only dataclasses are asked for
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ConfigError(f"{dot}{unknown[0]}: is not known")
    missing = [name for name, each in known.items() if name not in data and each.default is MISSING]
    if missing:
        raise ConfigError(f"{dot}{missing[0]}: is missing")
    return kind(**{name: _value(known[name].type, value, f"{dot}{name}") for name, value in data.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    """The value as its annotation, which is a text here, says."""
    if kind == "float" and type(value) is int:
        return float(value)
    simple = {"float": float, "int": int, "str": str, "bool": bool}
    if kind in simple and type(value) is not simple[kind]:
        raise ConfigError(f"{where}: must be {kind} (got {value!r})")
    if kind == "tuple[str, ...]":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where}: must be a list of texts (got {value!r})")
        return tuple(value)
    return value
