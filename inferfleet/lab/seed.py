"""What a provider puts on a bare server: name, address, keys, package sources. Nothing more."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from inferfleet.lab import apt, network
from inferfleet.lab.base import DEPLOY_UID
from inferfleet.lab.system import run

_NETWORK = """[Match]
Name=host0

[Network]
Address={address}/24
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


def write_hosts(seed: Path, net: int, addresses: Mapping[str, str]) -> None:
    """/etc/hosts names every host of the lab; there is no name server."""
    lines = ["127.0.0.1 localhost", f"{network.gateway(net)} lab"]
    lines += [f"{address} {name}" for name, address in addresses.items()]
    _place(seed, "etc/hosts", "\n".join(lines) + "\n", 0o644)


def write_key(path: Path, comment: str) -> str:
    """An SSH key pair at `path`; returns the public key as `TYPE BASE64`."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def write_seed(seed: Path, name: str, address: str, net: int, login_key: str, dates: str) -> str:
    """The files that make a base root this host, below `seed`, kept for every reset.

    Args:
        seed: a directory that does not exist yet.
        name: of the host.
        address: of the host.
        net: third octet of the lab's network.
        login_key: public key that may log in as root and as deploy.
        dates: what `aptsource.date_settings` found.

    Returns:
        The host's public key as `TYPE BASE64`.
    """
    gateway = network.gateway(net)
    files = {
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/hostname": f"{name}\n",
        "etc/systemd/network/10-host0.network": _NETWORK.format(address=address, gateway=gateway),
        "etc/apt/apt.conf.d/00lab": apt.host_settings(gateway, dates),
    }
    for path, text in files.items():
        _place(seed, path, text, 0o644)
    _place(seed, "root/.ssh/authorized_keys", f"{login_key}\n", 0o600)
    _place(seed, "home/deploy/.ssh/authorized_keys", f"{login_key}\n", 0o600)
    # An upper directory hides the owner and mode of the one below it.
    for path in ("root", "root/.ssh", "home/deploy", "home/deploy/.ssh"):
        (seed / path).chmod(0o700)
    for path in ("home/deploy", "home/deploy/.ssh", "home/deploy/.ssh/authorized_keys"):
        os.chown(seed / path, DEPLOY_UID, DEPLOY_UID)
    _directory(seed, "etc/ssh")
    return write_key(seed / "etc/ssh/ssh_host_ed25519_key", name)


def _directory(top: Path, path: str) -> None:
    for part in [top, *(top / parent for parent in reversed(Path(path).parents)), top / path]:
        if not part.exists():
            part.mkdir(parents=True)
            part.chmod(0o755)  # whatever the umask here is


def _place(top: Path, path: str, text: str, mode: int) -> None:
    _directory(top, str(Path(path).parent))
    (top / path).write_text(text)
    (top / path).chmod(mode)
