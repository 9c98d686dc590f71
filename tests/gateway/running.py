"""A gateway as it will run, both processes, on free ports of loopback with doubles of engines behind it."""

import csv
import hashlib
import io
import json
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from inferfleet.gateway import Places, Secrets, gateway_files
from inferfleet.plan import GatewayPlan
from inferfleet.plan.gateway import Backend, Upstream, chains_of
from inferfleet.spec import Gateway, Key
from inferfleet.spec.model import Model
from tests.gateway.engine_double import EngineDouble
from tests.gateway.program import command, environment

TOKENS = {"alice": "k-alice", "bob": "k-bob", "carol": "k-carol"}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key(who: str, **settings: Any) -> Key:
    return Key.model_validate(
        {"id": who, "sha256": sha256(TOKENS[who]), "rpm": 100_000, "concurrency": 1000, **settings}
    )


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def plan(
    models: Mapping[str, tuple[list[EngineDouble], int]],
    aliases: Mapping[str, tuple[str, ...]] | None = None,
    **settings: Any,
) -> GatewayPlan:
    """A plan for doubles: model -> (its engines, slots of each)."""
    port, metrics, prober, http = free_ports(4)
    given = {
        "keys": "file:keys.toml", "listen": "127.0.0.1", "port": port, "tls": False, "http_port": http,
        "metrics_port": metrics, "prober_port": prober, "connections": 300, **settings,
    }  # fmt: skip
    gateway = Gateway.model_validate(given)
    also = aliases or {}
    specs = tuple((name, Model.model_validate({"engine": "ollama", "aliases": also.get(name, ())})) for name in models)
    backends = tuple(
        Backend(
            name,
            also.get(name, ()),
            "ollama",
            tuple(Upstream(f"host/{one.name}", "127.0.0.1", one.port, slots) for one in engines),
        )
        for name, (engines, slots) in models.items()
    )
    return GatewayPlan("gw1", gateway, backends, tuple(chains_of(specs, gateway)), "0.32.15")


@dataclass
class Running:
    """Both processes of a gateway."""

    plan: GatewayPlan
    secrets: Secrets
    root: Path
    work: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def places(self) -> Places:
        return Places(str(self.work / "etc"), str(self.work / "run"))

    @property
    def url(self) -> str:
        return f"{'https' if self.plan.settings.tls else 'http'}://127.0.0.1:{self.plan.settings.port}"

    def write(self) -> None:
        for name, file in gateway_files(self.plan, self.secrets, self.places).items():
            path = self.work / "etc" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
            path.chmod(file.mode)
        (self.work / "run").mkdir(mode=0o700, exist_ok=True)

    def check(self) -> str:
        """What `haproxy -c` has to say of both configurations; empty where it likes them."""
        said = ""
        for config in ("large.cfg", "haproxy.cfg"):
            words = command(self.root, "-c", "-f", str(self.work / "etc" / config))
            done = subprocess.run(words, env=environment(self.root), capture_output=True, text=True, check=False)
            said += done.stderr if done.returncode or "[WARNING]" in done.stderr else ""
        return said

    def start(self) -> "Running":
        self.write()
        if said := self.check():
            raise AssertionError(said)
        for config in ("large.cfg", "haproxy.cfg"):
            self._begin(config)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if (self.work / "run/large.sock").exists() and _answers(self.plan.settings.port):
                return self
            time.sleep(0.02)
        raise AssertionError((self.work / "haproxy.cfg.log").read_text())

    def _begin(self, config: str, *words: str) -> None:
        with (self.work / f"{config}.log").open("ab") as log:
            line = command(self.root, "-db", "-f", str(self.work / "etc" / config), *words)
            self.processes.append(subprocess.Popen(line, env=environment(self.root), stdout=log, stderr=log))

    def reload(self) -> None:
        """New processes take the sockets over from the old ones, which end with their last request."""
        old = self.processes[-2:]
        for config, process, admin in zip(("large.cfg", "haproxy.cfg"), old, ("large-admin", "admin"), strict=True):
            self._begin(config, "-x", str(self.work / "run" / f"{admin}.sock"), "-sf", str(process.pid))

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)

    def ask(self, words: str, large: bool = False) -> str:
        """The admin socket's answer."""
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            one.connect(str(self.work / "run" / ("large-admin.sock" if large else "admin.sock")))
            one.sendall(words.encode() + b"\n")
            said = b""
            while part := one.recv(65536):
                said += part
        return said.decode()

    def servers(self, large: bool = False) -> list[dict[str, str]]:
        """Every server with its state, as the admin socket tells it."""
        return list(csv.DictReader(io.StringIO(self.ask("show stat -1 4 -1", large).removeprefix("# "))))

    def all_up(self) -> None:
        """Circuit breakers are closed, and dead engines forgotten, in both processes."""
        for large in (False, True):
            for line in self.servers(large):
                if line["status"].startswith("DOWN"):
                    self.ask(f"set server {line['pxname']}/{line['svname']} health up", large)

    def server(self, backend: str, name: str) -> dict[str, str]:
        return next(one for one in self.servers() if (one["pxname"], one["svname"]) == (backend, name))

    def post(self, path: str, body: Any, who: str = "alice", **options: Any) -> requests.Response:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        headers = {
            "Authorization": f"Bearer {TOKENS[who]}",
            "Content-Type": "application/json",
            **options.pop("headers", {}),
        }
        options.setdefault("timeout", 20)
        return requests.post(self.url + path, data=data, headers=headers, **options)

    def post_raw(self, path: str, data: Any) -> requests.Response:
        """A body as it is; of pieces it is sent in chunks."""
        headers = {"Authorization": f"Bearer {TOKENS['alice']}"}
        return requests.post(self.url + path, data=data, headers=headers, timeout=20)

    def get(self, path: str, who: str = "alice", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKENS[who]}"} if who else {}
        return requests.get(self.url + path, headers=headers, timeout=10, **options)

    def chat(self, model: str, who: str = "alice", **more: Any) -> requests.Response:
        options = more.pop("options", {})
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
        return self.post("/v1/chat/completions", body, who, **options)

    def log(self) -> list[dict[str, Any]]:
        lines = (self.work / "haproxy.cfg.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def _answers(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(true: Any, seconds: float = 5.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())
