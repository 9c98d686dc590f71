"""A host as checks see it, through testinfra over SSH."""

import json
import re
from functools import cached_property
from typing import Any

import testinfra

from inferfleet.engines.ollama_host import OllamaHost
from inferfleet.errors import FleetError
from inferfleet.remote import compact, script


class RemoteTarget:
    """One node, reached as the inventory says (`ssh_*` and `_sudo` of its data).

    Args:
        name: the host's name in the inventory.
        data: its data.
        declared: what its Ollama must be.
    """

    def __init__(self, name: str, data: dict[str, Any], declared: OllamaHost) -> None:
        self.name = name
        self._declared = declared
        self._host = testinfra.get_host(*_address(name, data), **_options(data))

    @cached_property
    def report(self) -> dict[str, Any]:
        """What the host says of its Ollama."""
        return self._python("ollama_state", self._declared.question)

    @cached_property
    def listening(self) -> list[tuple[str, int]]:
        """Addresses and TCP ports on which anything listens."""
        lines = self._run("ss -Hltn").splitlines()
        pairs = (line.split()[3].rpartition(":") for line in lines)
        return [(re.sub("%.*", "", address), int(port)) for address, _, port in pairs]

    def ask(self, address: str, model: str, prompts: list[str], tokens: int) -> dict[str, Any]:
        """Answers of a model at an address of the host."""
        work = {"address": address, "model": model, "prompts": prompts, "tokens": tokens}
        return self._python("ollama_ask", work)

    def _python(self, tool: str, argument: Any) -> dict[str, Any]:
        command = self._host.check_output("python3 -c %s %s", script(tool), compact(argument))
        answer: dict[str, Any] = json.loads(command.splitlines()[-1])
        return answer

    def _run(self, command: str) -> str:
        return str(self._host.check_output(command))


def _address(name: str, data: dict[str, Any]) -> tuple[str]:
    if name == "@local":
        return ("local://",)
    user, port = data.get("ssh_user"), data.get("ssh_port")
    host = data.get("ssh_hostname") or name
    return (f"ssh://{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}",)


def _options(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("ssh_password"):
        raise FleetError("verify cannot log in with ssh_password", "use a key (ssh_key) or an agent")
    extra = ["-o BatchMode=yes"]
    if known := data.get("ssh_known_hosts_file"):
        extra.append(f"-o UserKnownHostsFile={known}")
    if checking := data.get("ssh_strict_host_key_checking"):
        extra.append(f"-o StrictHostKeyChecking={checking}")
    return {
        "sudo": bool(data.get("_sudo")),
        "ssh_identity_file": data.get("ssh_key"),
        "ssh_config": data.get("ssh_config_file"),
        "ssh_extra_args": " ".join(extra),
    }
