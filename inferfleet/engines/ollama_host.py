"""What one host's Ollama must be: release, services, models. Plain data, made from the plan or by hand."""

from dataclasses import dataclass

from inferfleet.engines import ollama
from inferfleet.engines.ollama_store import Entry
from inferfleet.placed import PlacedGpu

MARK = "# Managed by inferfleet"
UNIT_DIR = "/etc/systemd/system"
RECORD = "/var/lib/inferfleet/ollama.json"
DROP_IN = "zz-inferfleet.conf"
ENVIRONMENT_DIR = "/etc/inferfleet/containers"


@dataclass(frozen=True)
class Server:
    """One instance as its clients see it, whatever it runs under.

    Attributes:
        name: of the instance.
        address: `host:port` at which it answers from the host itself.
        preload: models that must be in its memory at all times.
    """

    name: str
    address: str
    preload: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """One instance as a systemd service.

    Attributes:
        name: the unit's name without `.service`.
        address: `host:port` at which it answers from the host itself.
        unit: text of the unit file.
        drop_in: text of the drop-in, which holds every setting.
        environment: what its process must have been started with.
    """

    name: str
    address: str
    unit: str
    drop_in: str
    environment: dict[str, str]

    @property
    def unit_path(self) -> str:
        """Path of the unit file."""
        return f"{UNIT_DIR}/{self.name}.service"

    @property
    def drop_in_path(self) -> str:
        """Path of the drop-in."""
        return f"{UNIT_DIR}/{self.name}.service.d/{DROP_IN}"


@dataclass(frozen=True)
class OllamaHost:
    """Everything declared of one host's Ollama.

    Attributes:
        version: the release, without `v`.
        source: base URL of the releases.
        sha256: digest of the tarball; None trusts the source's own list.
        models_dir: the store that the instances share.
        servers: the instances, under whatever they run.
        services: those of them that are services of systemd themselves; the others are containers.
        proxy: the proxy that the engine's environment names, for what the host fetches itself.
        gpus: the cards that the instances are bound to.
        store: what the store must hold, in the order in which it is brought.
    """

    version: str
    source: str
    sha256: str | None
    models_dir: str
    servers: tuple[Server, ...]
    services: tuple[Service, ...]
    proxy: dict[str, str]
    gpus: tuple[PlacedGpu, ...]
    store: tuple[Entry, ...]

    @property
    def containers(self) -> tuple[str, ...]:
        """Names of the instances that are containers."""
        services = [service.name for service in self.services]
        return tuple(server.name for server in self.servers if server.name not in services)

    @property
    def question(self) -> dict[str, object]:
        """What to ask the host (`remote/ollama_state.py`); one question for all operations, so one answer."""
        return {
            "root": ollama.ROOT,
            "user": ollama.USER,
            "home": ollama.HOME,
            "record": RECORD,
            "unit_dir": UNIT_DIR,
            "environment_dir": ENVIRONMENT_DIR,
            "models_dir": self.models_dir,
            "models": [entry.name for entry in self.store],
            "units": [service.name for service in self.services],
            "addresses": {server.name: server.address for server in self.servers},
        }
