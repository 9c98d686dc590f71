"""Install the NVIDIA driver from NVIDIA's packages, hold it, and load it where that takes no reboot.

Told {"proxy", "source", "branch", "pinning", "other_pinning", "packages", "headers", "remove", "blacklist",
"services"}. Each step may be done again; killed anywhere, the next run ends it. Nothing is unloaded or rebooted.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

from inferfleet.remote.apt_source import apt, bring_source, fail, hold, install, say, versions_of
from inferfleet.remote.apt_state import output, text_of
from inferfleet.remote.files import write_file

_OTHERS = re.compile(r"container|docker|cuda-toolkit")


def newest(name: str, branch: str) -> str:
    """The newest version of a package in the branch; ends where no source has one."""
    there = versions_of(name)
    for version in there:
        if re.sub(r"^\d+:", "", version).startswith(branch + "."):
            return version
    have = f"there are {', '.join(there[:8])}" if there else "there is none"
    fail(f"no source of this host has {name} of driver branch {branch}: {have}")


def in_branch(names: list[str], branch: str) -> dict[str, str | None]:
    """Each package, or the one with the branch in its name where there is no other, at its newest version there."""
    chosen = [name if versions_of(name) else f"{name}-{branch}" for name in names]
    return {name: newest(name, branch) for name in chosen}


def headers(name: str | None) -> dict[str, str | None]:
    """The headers of the running kernel, where a source has them; a kernel of one's own making has none."""
    if name is None:
        return {}
    if not versions_of(name):
        apt("update")  # a fresh host has read no list but the driver's
    if versions_of(name):
        return {name: None}
    say(f"no source of this host has {name}; the module is built only where they are otherwise there")
    return {}


def driver_packages() -> list[str]:
    """Every installed package of the driver: all of them must stay at one version."""
    shown = output(
        "dpkg-query", "-W", "-f", r"${db:Status-Status} ${Package}\n", "*nvidia*", "cuda-drivers*", "libcuda1"
    )
    rows = [line.split(" ", 1) for line in shown.splitlines()]
    return sorted(row[1] for row in rows if row[0] == "installed" and not _OTHERS.search(row[1]))


def run(*words: str) -> str:
    """Empty, or what the command says against it."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return " ".join(done.stdout.split()) or "ends with " + str(done.returncode) if done.returncode else ""


def loaded() -> str | None:
    """The version of the module in the kernel."""
    text = text_of("/sys/module/nvidia/version")
    return text.strip() if text else None


def on_disk() -> str | None:
    """The version of the module that the next boot loads."""
    return output("modinfo", "-F", "version", "nvidia").strip() or None


def load() -> None:
    """The module that was installed is the one in the kernel; ends where only a reboot can bring that about."""
    wanted = on_disk()
    if loaded() is None and not os.path.isdir("/sys/module/nouveau"):
        wrong = run("modprobe", "nvidia") or run("modprobe", "nvidia-uvm")
        if wrong and wanted and loaded() is None:
            fail(f"NVIDIA driver {wanted} is installed and cannot be loaded: {wrong}; reboot the host")
    if wanted is None:
        fail("the NVIDIA driver is installed, and no module was built for this kernel; see `dkms status` on the host")
    if loaded() != wanted:
        now = f"{loaded()} is loaded" if loaded() else "nouveau holds the cards"
        fail(f"NVIDIA driver {wanted} is installed, {now}; reboot the host to go on")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.environ.update(work["proxy"])
    bring_source(work["source"], replace=True)
    if work["packages"]:
        path, text = work["blacklist"]
        if text_of(path) != text:
            write_file(path, text)
        # apt leaves held packages where they are, also those that what is wanted depends on; killed here, the next
        # run finds them without their hold.
        if names := driver_packages():
            run("apt-mark", "unhold", *names)
        install({work["pinning"]: None}, work["other_pinning"])
        wanted = in_branch(work["packages"], work["branch"])
        install(dict(wanted, **headers(work["headers"])), work["remove"])
        say(", ".join(f"{name} {version}" for name, version in wanted.items()) + " installed")
    hold(driver_packages())
    load()
    for name in work["services"]:
        if output("systemctl", "list-unit-files", "--no-legend", f"{name}.service").strip():
            wrong = run("systemctl", "enable", "--now", name)
            if wrong:
                fail(f"systemctl enable --now {name}: {wrong}")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as problem:
        fail(f"NVIDIA driver: {problem}")
