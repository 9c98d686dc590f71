"""A user's project in a temporary directory, run as a user runs it: the real `pyinfra`, the real `inferfleet`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferfleet.lab import Lab, LabHost, offered, ssh_data
from inferfleet.lab.model import GGUF
from inferfleet.scaffold import copy_project

BIN = Path(sys.executable).parent
TINY: dict[str, dict[str, Any]] = {
    "tiny": {
        "engine": "ollama",
        "shape": str(GGUF),
        "expect": {"What are you?": "I am a small model that tests the fleet."},
    }
}
# One spinning thread is enough for a model of 4 MB; two on a busy machine are far slower than one.
ENGINES = {"ollama": {"version": "0.32.15", "parallel": 4, "environment": {"LLAMA_ARG_THREADS": "1"}}}
GPU = {"gpus": [{"model": "llvmpipe", "backend": "vulkan", "vram_gib": 4}]}
FOUR_CARDS = {"gpus": ["A30"] * 4}
CPU_TWICE = {"instances": [{"engine": "ollama"}, {"engine": "ollama"}]}


@dataclass(frozen=True)
class Run:
    """What one run of `pyinfra --json` said.

    Attributes:
        rc: exit status.
        changes: operation -> hosts that it would change (dry) or did change.
        failed: hosts that failed or could not be reached.
        text: everything it logged.
    """

    rc: int
    changes: dict[str, list[str]]
    failed: list[str]
    text: str

    @property
    def changed(self) -> set[str]:
        """Hosts on which anything changed."""
        return {host for hosts in self.changes.values() for host in hosts}


def in_docker(lab: Lab) -> dict[str, Any]:
    """What an inventory says so that Ollama runs in Docker on hosts of this lab."""
    offer = offered(lab)
    image = offer["images"]["0.32.15"]
    return {
        "engines": {"ollama": {**ENGINES["ollama"], "runtime": "docker", "image": image}},
        "sources": offer["sources"],
    }


class Project:
    """An inventory of lab hosts and what runs on them, as plain data that tests change.

    Args:
        directory: where the starter project is copied to.
        lab: the running lab.
        hosts: host name -> what the inventory says of it.
    """

    def __init__(self, directory: Path, lab: Lab, hosts: dict[str, dict[str, Any]]) -> None:
        self.directory, self.lab, self.hosts = directory, lab, hosts
        mirror = f"http://{lab.gateway}"
        self.data: dict[str, Any] = {
            "sources": {"ollama": f"{mirror}/ollama", "models": mirror},
            "engines": ENGINES,
            "models": TINY,
        }
        copy_project(directory)

    def host(self, name: str) -> LabHost:
        return self.lab.hosts[name]

    def write(self) -> Path:
        """Write the inventory as files; the path of the inventory."""
        entries = [(name, {**self._reached(name), **data}) for name, data in self.hosts.items()]
        path = self.directory / "inventory" / "fleet.py"
        path.write_text(f"from inferfleet import ssh as _ssh\n_ssh.use()\nfleet = {entries!r}\n")
        text = "".join(f"{key} = {value!r}\n" for key, value in self.data.items())
        (self.directory / "inventory" / "group_data" / "fleet.py").write_text(text)
        return path

    def _reached(self, name: str) -> dict[str, Any]:
        """How pyinfra reaches a host; one that the lab has not is reached by its own data alone."""
        return ssh_data(name, self.lab) if name in self.lab.hosts else {}

    def pyinfra(self, *options: str, **environment: str) -> Run:
        path = self.write()
        command = [str(BIN / "pyinfra"), "--json", str(path), "deploy.py", *options]
        done = self._run(command, **environment)
        found = json.loads(done.stdout) if done.stdout.startswith("{") else {"plan": [], "results": None}
        failed = found["results"]["failed_hosts"] if found["results"] else []
        return Run(done.returncode, _changes(found), failed, done.stderr)

    def apply(self, *options: str) -> Run:
        return self.pyinfra("-y", *options)

    def dry(self, *options: str) -> Run:
        return self.pyinfra("--dry", "--diff", *options)

    def verify(self) -> dict[str, str]:
        """Every check -> why it does not hold, empty where it does."""
        done = self._run([str(BIN / "inferfleet"), "verify", "--json", str(self.write())])
        if not done.stdout.startswith("{"):
            raise AssertionError(done.stdout + done.stderr)
        return {check["check"]: check["reason"] for check in json.loads(done.stdout)["checks"]}

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """An apply that is left to run; the caller ends it."""
        command = [str(BIN / "pyinfra"), str(self.write()), "deploy.py", *options]
        nothing = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.directory, stdin=nothing, stdout=nothing, stderr=nothing)

    def _run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def _changes(found: dict[str, Any]) -> dict[str, list[str]]:
    if found["results"] is None:
        return {op["name"]: op["hosts_with_change"] for op in found["plan"] if op["hosts_with_change"]}
    return {op["name"]: op["success"] for op in found["results"]["operations"] if op["success"]}
