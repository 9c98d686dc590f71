"""What is known of a lab, in one JSON file, and whether it is still owned."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inferfleet.errors import LabError
from inferfleet.lab.paths import lab_dir, labs_dir
from inferfleet.lab.say import Say


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

    def kill(self, timeout_s: float = 3.0) -> None:
        """It is told to die at once, and has had some time to."""
        end = time.monotonic() + timeout_s
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        while self.alive() and time.monotonic() < end:
            time.sleep(0.005)


@dataclass(frozen=True)
class HostSpec:
    """A host that a lab shall have.

    Args:
        name: at most 12 letters, digits or hyphens; also its host name.
        suite: `trixie` or `bookworm`.
        gpus: its NVIDIA cards by name, such as `A30`: doubles.
        driver: their driver is installed, as many providers deliver it.
    """

    name: str
    suite: str = "trixie"
    gpus: tuple[str, ...] = ()
    driver: bool = True


@dataclass
class LabState:
    """What `lab.json` holds.

    Args:
        name: of the lab.
        tag: names its cgroup and interface; differs even between labs of two cache directories.
        net: third octet of its network 10.77.net.0/24.
        creator: the process that brings it up.
        bound: it dies with its creator; else only until it is ready.
        ready: it has come up.
        init: holds its namespaces; when it ends, so do all processes in them.
        hosts: in the order of their addresses.
    """

    name: str
    tag: str
    net: int
    creator: Process
    bound: bool
    ready: bool = False
    init: Process | None = None
    hosts: list[HostSpec] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Where everything of this lab is."""
        return lab_dir(self.name)

    def alive(self) -> bool:
        """It runs, or is being made; else it may be swept."""
        if (self.bound or not self.ready) and not self.creator.alive():
            return False
        return self.init is None or self.init.alive()

    def phase(self) -> str:
        """One word for people: `up`, `starting` or `dead`."""
        if not self.alive():
            return "dead"
        return "up" if self.ready else "starting"

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
        raise LabError(f"{path}: cannot be read ({error})", "use the inferfleet version that made this lab") from error


def _parse(data: dict[str, Any]) -> LabState:
    creator = Process(**data.pop("creator"))
    init = data.pop("init")
    hosts = [HostSpec(**{**host, "gpus": tuple(host.get("gpus", ()))}) for host in data.pop("hosts")]
    return LabState(**data, creator=creator, init=Process(**init) if init else None, hosts=hosts)


def readable(say: Say) -> Iterator[LabState]:
    """The states that this version understands; the labs of another are left alone."""
    for name in names():
        try:
            found = load(name)
        except LabError as error:
            say(str(error))
            continue
        if found is not None:
            yield found


def names() -> list[str]:
    """The labs that have a directory, dead ones too."""
    return sorted(path.name for path in labs_dir().glob("*") if path.is_dir())
