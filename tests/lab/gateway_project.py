"""A gateway, two hosts with two Ollama each, and a project that declares them."""

import hashlib
from pathlib import Path
from typing import Any

from inferfleet.lab import Lab
from tests.lab.project import CPU_TWICE, Project

TOKENS = {"alice": "sk-alice-canary-1", "bob": "sk-bob-canary-2"}
GATEWAY: dict[str, Any] = {"keys": "file:secrets/keys.toml", "names": ["gw.test"]}


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
