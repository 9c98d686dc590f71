"""A host as checks see it, through testinfra over SSH."""

import json
import re
import tempfile
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import testinfra

from inferfleet import probe
from inferfleet.changes import with_uuids
from inferfleet.checks.base import Peak
from inferfleet.checks.gateway import question as gateway_question
from inferfleet.containers import containers_of, question
from inferfleet.engines.container_host import Container
from inferfleet.errors import FleetError
from inferfleet.plan import GatewayPlan, NodePlan
from inferfleet.remote import compact, script
from inferfleet.services import ollama_host

# One SSH connection serves all checks of a host; ssh itself ends it once it has been idle for so long.
_IDLE_S = 10
# Not where TMPDIR says: ssh adds 58 characters, and a socket's path has room for 103 (macOS, whose TMPDIR has 49).
_CONTROL = tempfile.TemporaryDirectory(prefix="inferfleet-", dir="/tmp")


class RemoteTarget:
    """One node, reached as the inventory says (`ssh_*` and `_sudo` of its data).

    Args:
        name: the host's name in the inventory.
        data: its data.
        node: what it must be, where it is a node of the fleet.
        gateway: the gateway on it, if any.
    """

    def __init__(
        self, name: str, data: dict[str, Any], node: NodePlan | None, gateway: GatewayPlan | None = None
    ) -> None:
        self.name = name
        self.peaks: list[Peak] = []
        self._plan, self._gateway = node, gateway
        self._gone: str | None = None
        self._host = testinfra.get_host(*_address(name, data), **_options(data))

    @property
    def _node(self) -> NodePlan:
        if self._plan is None:
            raise LookupError(f"{self.name} is no node of the fleet")
        return self._plan

    @cached_property
    def gateway(self) -> dict[str, Any]:
        """What the gateway on the host answers."""
        if self._gateway is None:
            raise LookupError(f"{self.name} is no gateway")
        return self._python("gateway_ask", gateway_question(self._gateway))

    @cached_property
    def report(self) -> dict[str, Any]:
        """What the host says of its Ollama."""
        return self._python("ollama_state", ollama_host(self._node).question)

    @cached_property
    def containers(self) -> dict[str, Any]:
        """What the host says of its containers."""
        return self._python("container_state", question(self._node))

    @cached_property
    def declared_containers(self) -> dict[str, Container]:
        """What its containers must be, by name."""
        cards = with_uuids(self._node.gpus, self.gpus) if self._node.has_nvidia else self._node.gpus
        return {container.name: container for container in containers_of(self._node, cards)}

    @cached_property
    def gpus(self) -> dict[str, Any]:
        """What the host says of its NVIDIA cards."""
        return self.gpus_now()

    def gpus_now(self) -> dict[str, Any]:
        """What it says of them at this moment."""
        return probe.answer(self._run(probe.command()).splitlines())

    @cached_property
    def container_cards(self) -> dict[str, Any]:
        """Which cards each container sees and may open."""
        return self._python("container_cards", {"names": list(self._names("docker"))})

    def processes(self) -> dict[str, list[int]]:
        """The processes of each instance at this moment."""
        ask = {"services": list(self._names("native")), "containers": list(self._names("docker"))}
        return self._python("engine_processes", ask)

    def _names(self, runtime: str) -> Iterator[str]:
        return (instance.name for instance in self._node.instances if instance.runtime == runtime)

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
        answer: dict[str, Any] = json.loads(
            self._run("python3 -c %s %s", script(tool), compact(argument)).splitlines()[-1]
        )
        return answer

    def _run(self, command: str, *words: str) -> str:
        """What a command writes; a host that was gone once is not waited for again.

        Raises:
            ConnectionError: the host cannot be reached, in ssh's own words.
            RuntimeError: the command failed, in its own words.
        """
        if self._gone is not None:
            raise ConnectionError(self._gone)
        try:
            done = self._host.run(command, *words)
        except RuntimeError as error:  # testinfra 10.2: ssh itself ended with 255
            self._gone = _last_line(str(getattr(error.args[0], "stderr", error)))
            raise ConnectionError(self._gone) from error
        if done.rc != 0:
            raise RuntimeError(_why(str(done.stderr)) or f"exit status {done.rc}")
        return str(done.stdout)


def _last_line(text: str) -> str:
    """Ssh ends a banner of twenty lines with the one that says what is wrong."""
    return (text.strip().splitlines() or ["ssh said nothing"])[-1]


def _why(stderr: str) -> str:
    """What a command that failed said, as one line; of sudo's words those that help."""
    if stderr.lstrip().startswith("sudo:"):
        return "sudo wants a password there; verify needs a user who may use sudo without one"
    return " ".join(stderr.split())


def _address(name: str, data: dict[str, Any]) -> tuple[str]:
    if name == "@local":
        return ("local://",)
    user, port = data.get("ssh_user"), data.get("ssh_port")
    host = data.get("ssh_hostname") or name
    host = f"[{host}]" if ":" in host else host
    return (f"ssh://{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}",)


def _options(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("ssh_password"):
        raise FleetError("verify cannot log in with ssh_password", "use a key (ssh_key) or an agent")
    extra = ["-o BatchMode=yes"]
    if known := data.get("ssh_known_hosts_file"):
        extra.append(f"-o UserKnownHostsFile={known}")
    # As pyinfra does by default (3.10): a host seen for the first time is remembered, another key is refused.
    checking = data.get("ssh_strict_host_key_checking", "accept-new")
    extra.append(f"-o StrictHostKeyChecking={checking}")
    return {
        "sudo": bool(data.get("_sudo")),
        "ssh_identity_file": data.get("ssh_key"),
        "ssh_config": data.get("ssh_config_file"),
        "ssh_extra_args": " ".join(extra),
        "controlpath": f"{_CONTROL.name}/%%C",
        "controlpersist": _IDLE_S,
    }
