"""Real hosts on this machine: systemd, sshd, apt, a network of their own, and gone without a trace.

    with Lab("try", [HostSpec("gpu1"), HostSpec("cpu1", suite="bookworm")]) as lab:
        lab.hosts["gpu1"].run("apt-get update && apt-get install -y hello")

A host is a systemd-nspawn machine on an overlay over a cached root. All of a lab lives in one
cgroup and one set of namespaces, so that one write ends all of it. In reading order:

    say, paths, system, ports   small things that the rest stands on
    aptsource, aptcache, apt    packages: this machine's mirror, the proxy (a program), apt files
    base                        the cached root of a suite
    cgroup, state, namespaces, network    what a lab is made of
    seed, ssh, bootloop, host   one host; bootloop is a program
    preflight, register, lab    what must be there; names and sweeping; the lab itself
    cli                         `inferfleet lab`
"""

from inferfleet.lab.host import LabHost
from inferfleet.lab.inventory import current, offered, ssh_data
from inferfleet.lab.lab import Lab, attach
from inferfleet.lab.preflight import missing_packages
from inferfleet.lab.register import sweep
from inferfleet.lab.state import HostSpec

__all__ = ["HostSpec", "Lab", "LabHost", "attach", "current", "missing_packages", "offered", "ssh_data", "sweep"]
