"""What is known of a lab, in one JSON file, and whether it is still owned."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inferfleet.errors import LabError
from inferfleet.lab.paths import lab_dir, labs_dir


@dataclass(frozen=True)
class Process:
    """A process that cannot be taken for another: a pid is used again, its start time is not."""

    pid: int
    start: int  # clock ticks since boot: field 22 of /proc/PID/stat, proc(5)

    @classmethod
    def find(cls, pid: int) -> "Process | None":
        """The process with that pid, unless it has ended."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the name before it may hold blanks
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @classmethod
    def own(cls) -> "Process":
        """This process."""
        found = cls.find(os.getpid())
        if found is None:
            raise LabError("/proc: this process is not in it", "mount /proc")
        return found

    def alive(self) -> bool:
        """It still runs."""
        return Process.find(self.pid) == self


@dataclass(frozen=True)
class HostSpec:
    """A host that a lab shall have.

    Args:
        name: at most 12 letters, digits or hyphens; also its host name.
        suite: `trixie` or `bookworm`.
    """

    name: str
    suite: str = "trixie"


@dataclass
class LabState:
    """What `lab.json` holds.

    Args:
        name: of the lab.
        tag: names its cgroup and interface; differs even between labs of two cache directories.
        net: third octet of its network 10.77.net.0/24.
        owner: with whom it dies; None: it lives until `down`.
        creator: who brings it up; counts until `init` is known.
        init: holds its namespaces; when it ends, so do all processes in them.
        hosts: in the order of their addresses.
    """

    name: str
    tag: str
    net: int
    creator: Process
    owner: Process | None = None
    init: Process | None = None
    hosts: list[HostSpec] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Where everything of this lab is."""
        return lab_dir(self.name)

    def alive(self) -> bool:
        """It runs, or is being made; else it may be swept."""
        if self.owner is not None and not self.owner.alive():
            return False
        return (self.init or self.creator).alive()

    def phase(self) -> str:
        """One word for people: `up`, `starting` or `dead`."""
        if not self.alive():
            return "dead"
        return "starting" if self.init is None else "up"

    def save(self) -> None:
        """The file holds this state, whole at any moment."""
        part = self.directory / "lab.json.part"
        part.write_text(json.dumps(asdict(self), indent=2) + "\n")
        part.replace(self.directory / "lab.json")


def load(name: str) -> LabState | None:
    """The state of a lab, None where there is none.

    Raises:
        LabError: it may not be read, or is not a state.
    """
    path = lab_dir(name) / "lab.json"
    try:
        data = json.loads(path.read_text())
        return _parse(data)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LabError(f"{path}: may not be read by this user", "run it with sudo, as the lab was") from error
    except (ValueError, TypeError, KeyError) as error:
        raise LabError(f"{path}: not the state of a lab ({error})", f"inferfleet lab down {name}") from error


def _parse(data: dict[str, Any]) -> LabState:
    process = {key: Process(**data[key]) if data[key] else None for key in ("owner", "init")}
    hosts = [HostSpec(**host) for host in data["hosts"]]
    return LabState(
        name=data["name"],
        tag=data["tag"],
        net=data["net"],
        creator=Process(**data["creator"]),
        hosts=hosts,
        **process,
    )


def names() -> list[str]:
    """The labs that have a directory, dead ones too."""
    return sorted(path.name for path in labs_dir().glob("*") if path.is_dir())
