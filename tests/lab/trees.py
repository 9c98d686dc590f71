"""The state of a host's files as one digest, to prove that something changed nothing."""

from inferfleet.lab import LabHost

# What a host changes by itself while nobody does anything, or by somebody logging in.
_LEFT_OUT = "/proc /sys /dev /run /tmp /var/tmp /var/log /var/lib/systemd /var/lib/private /var/cache /var/lib/sudo"


def listing(host: LabHost) -> str:
    """Type, mode, owner, size, time and content of every file, one line each, by path."""
    prune = " -o ".join(f"-path {path}" for path in _LEFT_OUT.split())
    find = rf"find / -xdev \( {prune} \) -prune -o -printf '%p %y %m %U:%G %T@ %l\n'"
    sums = rf"find / -xdev \( {prune} \) -prune -o -type f -size -20M -print0 | sort -z | xargs -0 sha256sum"
    return host.run(f"{find} | sort; {sums}", timeout=120).stdout


def digest(host: LabHost) -> dict[str, str]:
    """Path -> line; dicts show what differs when they are compared."""
    return {" ".join(line.split(" ")[:1]): line for line in listing(host).splitlines()}
