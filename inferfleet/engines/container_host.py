"""What one host's containers must be. Plain data, made from the plan and what the host says of its cards."""

import shlex
from dataclasses import dataclass

from inferfleet.engines.image import Image
from inferfleet.engines.ollama_host import ENVIRONMENT_DIR, UNIT_DIR

LABEL = "inferfleet"
# Where the numbers of the user `ollama` stand in a unit until the host has said them: they differ from host to host.
USER_PLACE = "@user@"


@dataclass(frozen=True)
class Container:
    """One instance as a container under a systemd unit of the same name.

    Attributes:
        name: of the instance, the unit and the container.
        address: `host:port` at which it answers from the host itself.
        version: what its API must say that it is.
        image: what it is made from.
        unit: text of the unit file, with `USER_PLACE`.
        environment: text of the file with its environment.
        digest: of everything that it is started with; stands in its label.
        devices: CDI names of its cards.
    """

    name: str
    address: str
    version: str
    image: Image
    unit: str
    environment: str
    digest: str
    devices: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """The words of `docker run` in the unit, which its process has as its own."""
        lines = self.unit.replace("\\\n", " ").splitlines()
        start = next(line for line in lines if line.startswith("ExecStart="))
        return shlex.split(start.partition("=")[2])

    @property
    def unit_path(self) -> str:
        """Path of the unit file."""
        return f"{UNIT_DIR}/{self.name}.service"

    @property
    def environment_path(self) -> str:
        """Path of the file with its environment, which only root may read."""
        return f"{ENVIRONMENT_DIR}/{self.name}.env"

    @property
    def port(self) -> int:
        """TCP port on the host."""
        return int(self.address.rpartition(":")[2])
