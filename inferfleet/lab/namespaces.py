"""The pid, mount and network namespaces of a lab, held open by one small process.

The init of the lab does nothing but live; the kernel reaps its orphans, because it ignores
SIGCHLD. When it ends, the kernel kills every process in its pid namespace, the mounts go with the
last process, and the bridge and every veth with the network namespace.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab.cgroup import Cgroup
from inferfleet.lab.state import Process
from inferfleet.lab.system import tail

UNSHARE = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
ALL = ("mount", "pid", "net")
DISKS = ("mount", "pid")
# systemd-nspawn makes the hosts' network addresses from the machine's identity, which images leave empty.
_IDENTITY = """[ ! -e /etc/machine-id ] || [ -s /etc/machine-id ] || {
    tr -d - </proc/sys/kernel/random/uuid >"$1" && mount --bind "$1" /etc/machine-id; }
trap '' CHLD
"""
FOR_EVER = f"{_IDENTITY}exec sleep infinity"
WITH_OWNER = f"{_IDENTITY}exec cat"  # reads the owner's pipe until it closes


def start(cgroup: Cgroup, log: Path, owner_pipe: int | None = None) -> Process:
    """Make the namespaces of a lab.

    Args:
        cgroup: of the lab; the init lives in it.
        log: takes what goes wrong.
        owner_pipe: reading end of a pipe whose other end the owner holds; the lab ends with it.

    Raises:
        LabError: this machine does not allow it.
    """
    init = FOR_EVER if owner_pipe is None else WITH_OWNER
    command = [*UNSHARE, "sh", "-c", init, "init", str(log.parent / "machine-id")]
    cgroup.spawn(command, log, subprocess.DEVNULL if owner_pipe is None else owner_pipe)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for pid in cgroup.pids():
            if _is_init(pid) and (process := Process.find(pid)):
                return process
        time.sleep(0.01)
    raise LabError(f"namespaces: not made in 10 s: {tail(log)}", "the lab needs full root, not a restricted container")


def _is_init(pid: int) -> bool:
    """It is process 1 of a pid namespace below ours and has become what it shall be."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    numbers = values.get("NSpid", "").split()
    return numbers[-1:] == ["1"] and numbers[0] != "1" and values["Name"].strip() in ("sleep", "cat")


def inside(init: Process, argv: Sequence[str | Path], which: Sequence[str] = ALL) -> list[str]:
    """The command line that runs `argv` in the lab's namespaces, or in some of them.

    Never in `mount` without `pid`: the lab's /proc has no `self` for processes of other pid
    namespaces, and umount cannot do without.
    """
    return ["nsenter", "--target", str(init.pid), *(f"--{name}" for name in which), "--", *map(str, argv)]


def mounted(init: Process, path: Path) -> bool:
    """Something is mounted at `path` in the lab."""
    lines = Path(f"/proc/{init.pid}/mountinfo").read_text().splitlines()
    return str(path) in (line.split()[4] for line in lines)
