"""A program: power on one host, and again each time it asks for a reboot.

    python bootloop.py CGROUP... -- systemd-nspawn ARGUMENT...

Runs inside the lab's namespaces and the host's cgroup, and ends when the host powers off. It
imports the standard library only and is started by its path, so that it is there in 30 ms.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

REBOOT = 133  # systemd-nspawn(1), "Exit status": the container asks to be started again


def new_clock() -> list[str]:
    """The words that start a program with `/proc/uptime` at 0, as after a real boot.

    pyinfra 3.10 `server.reboot` and many scripts tell a reboot by the uptime.
    """
    if not Path("/proc/self/ns/time").exists():
        return []
    uptime_s = int(float(Path("/proc/uptime").read_text().split()[0]))
    return ["unshare", "--time", "--fork", "--kill-child", f"--boottime=-{uptime_s}", f"--monotonic=-{uptime_s}"]


def clear(cgroups: list[str]) -> None:
    """Drop the cgroups of the last boot.

    Its systemd used cgroup.kill on them, and such a cgroup kills what the next boot starts in it.
    """
    for _ in range(100):
        children = [path for top in cgroups for path, _, _ in os.walk(top, topdown=False) if path != top]
        for path in children:
            try:
                os.rmdir(path)
            except OSError:  # busy for another moment
                continue
        if not children:
            return
        time.sleep(0.02)


def main(words: list[str]) -> None:
    """Boot until the host powers off."""
    cut = words.index("--")
    cgroups, nspawn = words[:cut], words[cut + 1 :]
    while True:
        code = subprocess.call([*new_clock(), *nspawn], stdin=subprocess.DEVNULL)
        sys.stderr.write(f"bootloop: systemd-nspawn ended with {code}\n")
        sys.stderr.flush()
        if code != REBOOT:
            return
        clear(cgroups)


if __name__ == "__main__":
    main(sys.argv[1:])
