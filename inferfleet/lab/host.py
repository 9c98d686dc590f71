"""One host of a lab: power, and commands over SSH."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab import bootloop, namespaces, network, ssh
from inferfleet.lab.base import base_path
from inferfleet.lab.cgroup import Cgroup
from inferfleet.lab.gpu.cards import Gpus
from inferfleet.lab.state import HostSpec, LabState, Process
from inferfleet.lab.system import environment, run, tail

BOOT_LIMIT_S = 60.0

# Directories that must lie on a real file system: on an overlay Docker falls back to copying every
# layer (vfs) without a word. They go on a reset, as the rest of the disk does.
REAL_DIRECTORIES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}

# Docker inside needs all capabilities, keyrings and bpf. A lab host is no security boundary.
_NSPAWN = [
    "env",
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
    "systemd-nspawn",
    "--quiet",
    "--boot",
    "--keep-unit",
    "--register=no",
    "--console=read-only",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--capability=all",
]
_SYSTEM_CALLS = "--system-call-filter=@keyring bpf @privileged"


class LabHost:
    """A host of a running lab.

    Args:
        state: of its lab.
        spec: its own.
    """

    def __init__(self, state: LabState, spec: HostSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.address = network.host_address(state.net, state.hosts.index(spec))
        self._state = state
        self._cgroup = Cgroup(f"inferfleet-{state.tag}/host-{spec.name}")

    @property
    def directory(self) -> Path:
        """Its disk and its console log, on this machine."""
        return self._state.directory / "hosts" / self.name

    @property
    def gpus(self) -> Gpus:
        """Its cards, in the order of the bus."""
        return Gpus(self)

    @property
    def powered(self) -> bool:
        """It is switched on."""
        return bool(self._cgroup.pids())

    def run(
        self, command: str, check: bool = True, timeout: float | None = 600.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root over SSH.

        Args:
            command: for the shell of root.
            check: a failure is an error.
            timeout: in seconds.
            stdin: text for the command.

        Raises:
            LabError: the time is over, the host does not answer, or `check` is set and the command failed.
        """
        argv = ssh.command(self._state.directory, self.address, [command])
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment())
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name}: not done after {timeout} s: {command}") from error
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
            raise LabError(f"{self.name}: exit status {done.returncode}: {command}: {said[-1]}")
        return done

    def on(self) -> None:
        """It is switched on and lets us in.

        Raises:
            LabError: it does not come up; the message ends with the end of its console log.
        """
        self.power_on()
        self.wait()

    def power_on(self) -> None:
        """It is switched on; returns before it has booted."""
        if self.powered:
            return
        init = self._init()
        self._cgroup.renew()
        network.unplug(init, self.name)
        self._mount(init)
        program = [sys.executable, "-I", "-S", bootloop.__file__]
        loop = [*program, *map(str, self._cgroup.dirs), "--", *self._nspawn()]
        self._cgroup.spawn(namespaces.inside(init, loop), self.directory / "console.log")

    def wait(self, timeout_s: float = BOOT_LIMIT_S) -> None:
        """It has booted and lets us in.

        Raises:
            LabError: not in time.
        """
        try:
            ssh.wait(self._state.directory, self.name, self.address, timeout_s)
        except LabError as error:
            raise LabError(f"{error}: {tail(self.directory / 'console.log')}") from error

    def cut(self) -> None:
        """Its power is cut: nothing is shut down, its disk stays as it is."""
        self._cgroup.renew()

    def reboot(self) -> None:
        """It has been rebooted by its own systemd and lets us in again."""
        before = self.boot_id()
        # The connection may break before ssh has the exit status: what counts is the new boot id.
        self.run("systemctl reboot", check=False, timeout=30.0)
        end = time.monotonic() + BOOT_LIMIT_S
        while self.boot_id(check=False) in ("", before):
            if time.monotonic() > end:
                raise LabError(f"{self.name}: did not reboot: {tail(self.directory / 'console.log')}")
            time.sleep(0.1)
        self.wait()

    def boot_id(self, check: bool = True) -> str:
        """The kernel's id for this boot; empty if `check` is not set and it does not answer."""
        if not check and not ssh.answers(self.address):
            return ""
        return self.run("cat /proc/sys/kernel/random/boot_id", check=check, timeout=10.0).stdout.strip()

    def reset(self) -> None:
        """It is bare again: as when the lab came up, with the same address and host key."""
        self.cut()
        init = self._init()
        if namespaces.mounted(init, self.directory / "root"):
            run(namespaces.inside(init, ["umount", self.directory / "root"], namespaces.DISKS))
        old = self.directory / "old"
        shutil.rmtree(old, ignore_errors=True)  # of a reset that was killed
        old.mkdir()
        for part in ("upper", "work", *REAL_DIRECTORIES):
            if (self.directory / part).exists():
                (self.directory / part).rename(old / part)
        self.power_on()
        shutil.rmtree(old)
        self.wait()

    def append(self, path: str, text: str) -> None:
        """A file of it ends with `text`, whether it is switched on or not."""
        self.on_disk(["sh", "-c", 'cat >> "$1"', "append", self.path(path)], text)

    def path(self, inside: str) -> Path:
        """Where a file of it is for `on_disk`."""
        return self.directory / "root" / inside.lstrip("/")

    def on_disk(self, argv: Sequence[str | Path], stdin: str = "") -> str:
        """What a program of this machine says that sees this host's disk, whether the host is switched on or not."""
        return run(namespaces.inside(self._init(), argv, namespaces.DISKS), stdin=stdin).stdout

    def _init(self) -> Process:
        if self._state.init is None:
            raise LabError(f"lab {self._state.name}: is not up", f"inferfleet lab up {self._state.name}")
        return self._state.init

    def _mount(self, init: Process) -> None:
        root, upper, work = (self.directory / part for part in ("root", "upper", "work"))
        if namespaces.mounted(init, root):
            return
        for path in (root, work, *(self.directory / part for part in REAL_DIRECTORIES)):
            path.mkdir(exist_ok=True)
        if not upper.exists():
            run(["cp", "--archive", self.directory / "seed", upper])
        options = f"lowerdir={base_path(self.spec.suite)},upperdir={upper},workdir={work}"
        run(namespaces.inside(init, ["mount", "-t", "overlay", "overlay", "-o", options, str(root)], namespaces.DISKS))

    def _nspawn(self) -> list[str]:
        binds = [f"--bind={self.directory / part}:{path}" for part, path in REAL_DIRECTORIES.items()]
        where = [f"--machine={self.name}", f"--directory={self.directory / 'root'}"]
        return [*_NSPAWN, _SYSTEM_CALLS, f"--network-bridge={network.BRIDGE}", *where, *binds]
