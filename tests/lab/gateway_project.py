"""A gateway, two hosts with two Ollama each, and a project that declares them."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from inferfleet.lab import Lab
from tests.lab.project import BIN, CPU_TWICE, Project

TOKENS = {"alice": "sk-alice-canary-1", "bob": "sk-bob-canary-2"}
# More connections need more files at once than a machine that runs labs in containers may have (20,000 here).
GATEWAY: dict[str, Any] = {"keys": "file:secrets/keys.toml", "connections": 500}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class GatewayProject(Project):
    """Hosts gw1, cpu1 and cpu2 of a lab; gw1 is the gateway."""

    def __init__(self, directory: Path, lab: Lab) -> None:
        addresses = {name: host.address for name, host in lab.hosts.items()}
        self.gateway = {**GATEWAY, "names": ["gw.test", addresses["gw1"]]}
        super().__init__(
            directory,
            lab,
            {
                "gw1": {"gateway": self.gateway, "address": addresses["gw1"]},
                "cpu1": {**CPU_TWICE, "address": addresses["cpu1"]},
                "cpu2": {**CPU_TWICE, "address": addresses["cpu2"]},
            },
        )
        self.keys({"alice": {}})

    @property
    def url(self) -> str:
        return f"https://{self.host('gw1').address}"

    @property
    def ca(self) -> Path:
        return self.directory / "secrets" / "ca.pem"

    def keys(self, keys: dict[str, dict[str, Any]]) -> None:
        """The file of keys holds these."""
        path = self.directory / "secrets" / "keys.toml"
        path.parent.mkdir(exist_ok=True)
        lines = []
        for name, settings in keys.items():
            lines += ["[[key]]", f'id = "{name}"', f'sha256 = "{sha256(TOKENS[name])}"']
            lines += [f"{key} = {value!r}".replace("'", '"') for key, value in settings.items()]
        path.write_text("\n".join(lines) + "\n")

    def all_that_is_said(self, *options: str, **environment: str) -> str:
        """Whatever a run writes, as JSON and in its log; an AssertionError where it fails."""
        command = [str(BIN / "pyinfra"), "--json", str(self.write()), "deploy.py", *options]
        done = self._run(command, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def ask(self, path: str, body: Any = None, token: str | None = TOKENS["alice"], **more: Any) -> requests.Response:
        """The gateway's answer to one request, its certificate checked against the project's authority."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = "GET" if body is None else "POST"
        return requests.request(
            method, self.url + path, json=body, headers=headers, verify=str(self.ca), timeout=60, **more
        )

    def says(self, question: str, **more: Any) -> str:
        """What the model answers, through the gateway, without a stream."""
        answer = self.ask("/v1/chat/completions", chat(question, **more))
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text

    def admin(self, command: str) -> str:
        """What the running HAProxy says to its administrator."""
        program = (
            "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect('/run/inferfleet-gateway/admin.sock');"
            "s.sendall(sys.argv[1].encode()+b'\\n');s.shutdown(1);print(s.makefile().read())"
        )
        return self.host("gw1").run(f'python3 -c "{program}" "{command}"').stdout

    def up(self) -> set[str]:
        """Engines that HAProxy takes for well, as in `cpu1/ollama-cpu0`."""
        rows = [line.split(",") for line in self.admin("show stat").splitlines() if line.startswith("m_tiny,")]
        return {row[1].replace("::", "/") for row in rows if row[1] != "BACKEND" and row[17].startswith("UP")}

    def busy(self) -> set[str]:
        """Engines that have a request of the gateway at this moment."""
        rows = [line.split(",") for line in self.admin("show stat").splitlines() if line.startswith("m_tiny,")]
        return {row[1].replace("::", "/") for row in rows if row[1] != "BACKEND" and int(row[4])}

    def pids(self) -> str:
        """Processes of the gateway: a reload has new ones."""
        return self.host("gw1").run("pgrep -x haproxy | sort -n | xargs").stdout.strip()


ALL = {f"{host}/ollama-cpu{number}" for host in ("cpu1", "cpu2") for number in (0, 1)}


def chat(question: str, **more: Any) -> dict[str, Any]:
    """A request for one greedy answer."""
    return {"model": "tiny", "messages": [{"role": "user", "content": question}], "temperature": 0, **more}


def wait(what: Callable[[], bool], seconds: float) -> float:
    """How long it took until it was so; an AssertionError where it was not in time."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - begun


def streamed(answer: requests.Response, each: Callable[[int], None] = lambda _: None) -> str:
    """The text of a stream that came to its end; an AssertionError where it broke off."""
    text, ended = "", False
    for number, line in enumerate(answer.iter_lines()):
        each(number)
        if line == b"data: [DONE]":
            ended = True
        elif line:
            text += json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"].get("content", "")
    assert ended, f"broke off after {text[-40:]!r}"
    return text
