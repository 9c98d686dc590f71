"""Cgroups of a lab: the one handle that reaches every process of it.

Three layouts are met (systemd's `docs/CGROUP_DELEGATION.md` gives them these names):

    unified   /sys/fs/cgroup is cgroup2
    hybrid    /sys/fs/cgroup/unified is cgroup2, /sys/fs/cgroup/systemd is the named v1 hierarchy
    legacy    /sys/fs/cgroup/systemd alone

On a legacy machine systemd-nspawn still gives its guest cgroup2, through a mount of its own; the
empty directories that it makes there stay, out of sight, until the machine reboots.

A path must exist in each hierarchy that systemd-nspawn looks at. No controller is ever enabled
below it, so cgroup2's rule against processes in inner nodes does not bite.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.system import environment, tail

ROOT = Path("/sys/fs/cgroup")
_ENTER = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'


def hierarchies(root: Path = ROOT) -> tuple[Path, ...]:
    """The mount points in which a lab's cgroup must exist, the one that counts first.

    Raises:
        LabError: no layout that we know.
    """
    if (root / "cgroup.controllers").exists():
        return (root,)
    found = [root / "unified"] if (root / "unified" / "cgroup.controllers").exists() else []
    found += [root / "systemd"] if (root / "systemd" / "cgroup.procs").exists() else []
    if not found:
        raise LabError(f"{root}: neither cgroup2 nor the systemd hierarchy is mounted here", "mount cgroup2 on it")
    return tuple(found)


class Cgroup:
    """One cgroup, in each hierarchy that must know it.

    Args:
        path: relative to the top of a hierarchy.
        root: where the hierarchies are mounted.
    """

    def __init__(self, path: str, root: Path = ROOT) -> None:
        self.path = path
        self.root = root
        self.dirs = tuple(top / path for top in hierarchies(root))

    def child(self, name: str) -> "Cgroup":
        """The cgroup of that name below this one."""
        return Cgroup(f"{self.path}/{name}", self.root)

    def create(self) -> None:
        """The cgroup exists in every hierarchy.

        Raises:
            LabError: the kernel or a container around us does not allow it.
        """
        for directory in self.dirs:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LabError(f"{directory}: cgroup cannot be made ({error.strerror})") from error

    def renew(self) -> None:
        """The cgroup exists and is new; what ran in it is killed."""
        self.kill()
        self.remove()
        self.create()

    def enter(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs `argv` inside this cgroup."""
        return ["sh", "-c", _ENTER, "enter", *map(str, self.dirs), "--", *map(str, argv)]

    def spawn(self, argv: Sequence[str | Path], log: Path, stdin: int = subprocess.DEVNULL) -> None:
        """A program runs in this cgroup that outlives us, in a session of its own.

        `setsid --fork` ends at once, so that no zombie waits for a long-lived caller to collect it;
        its child is in the cgroup before this returns.

        Args:
            argv: the command line.
            log: takes its output, at the end.
            stdin: its input, a file descriptor.

        Raises:
            LabError: it could not be started.
        """
        words = self.enter(["setsid", "--fork", *argv])
        with log.open("ab") as out:
            code = subprocess.run(words, stdin=stdin, stdout=out, stderr=out, env=environment()).returncode
        if code != 0:
            raise LabError(f"{argv[0]}: could not be started (exit status {code}): {tail(log)}")

    def pids(self) -> set[int]:
        """Process ids in this cgroup and below it, as this machine counts them."""
        found: set[int] = set()
        # Cgroups come and go while they are walked through: os.walk passes over those, rglob raises.
        for path, _, _ in os.walk(self.dirs[0]):
            with suppress(OSError):
                found.update(map(int, Path(path, "cgroup.procs").read_text().split()))
        return found

    def kill(self, timeout_s: float = 10.0) -> None:
        """No process is left in this cgroup or below it.

        Raises:
            LabError: some process did not die in time.
        """
        end = time.monotonic() + timeout_s
        switch = self.dirs[0] / "cgroup.kill"  # since Linux 5.14; not in the v1 hierarchy
        with suppress(FileNotFoundError):  # an older kernel, or nothing there to kill
            descriptor = os.open(switch, os.O_WRONLY)  # never O_CREAT, which cgroupfs refuses with another error
            os.write(descriptor, b"1")
            os.close(descriptor)
        while pids := self.pids():
            if time.monotonic() > end:
                raise LabError(f"{self.dirs[0]}: processes do not die (got {sorted(pids)})")
            if not switch.exists():
                _kill_each(pids)
            time.sleep(0.01)

    def remove(self, timeout_s: float = 5.0) -> None:
        """The cgroup and all below it are gone from every hierarchy; they must hold no process.

        A cgroup that saw `cgroup.kill` may kill what is spawned into it later (seen on Linux 6.18),
        so a killed one is always removed before it is used again.

        Raises:
            LabError: still busy after the time given.
        """
        end = time.monotonic() + timeout_s
        while left := [directory for directory in self.dirs if not _removed(directory)]:
            if time.monotonic() > end:
                raise LabError(f"{left[0]}: cgroup is still busy")
            time.sleep(0.01)


def _kill_each(pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _removed(directory: Path) -> bool:
    """Remove a tree of cgroups bottom up, as far as it goes; True once it is gone."""
    for path, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(path)
        except OSError:  # busy for another moment, or gone already
            continue
    return not directory.exists()
