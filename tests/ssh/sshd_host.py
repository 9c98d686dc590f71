"""What the tests of the SSH connector know about the sshd they start: users, programs, configuration."""

import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyinfra.api.host import Host

PASSWORD = "open-sesame"
NEEDED = {
    "sshd": "openssh-server",
    "sudo": "sudo",
    "doas": "opendoas",
    "setfacl": "acl",
    "unshare": "util-linux",
    "useradd": "passwd",
}

# Runs as root in a mount and pid namespace of its own: /etc is a copy, /home and /run are empty.
SETUP = """\
set -e
cp -a /etc "$1/etc"; mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /home; mount -t tmpfs tmpfs /run; mkdir /run/sshd
for user in deploy asker other; do
    useradd --create-home --shell /bin/bash "$user"
    echo "$user:$2" | chpasswd
done
useradd --create-home --shell /usr/sbin/nologin closed; echo "closed:$2" | chpasswd
echo 'echo welcome; echo careful >&2' > /home/asker/.bashrc
printf 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\\nasker ALL=(ALL:ALL) ALL\\n' > /etc/sudoers.d/test
echo 'permit nopass deploy' > /etc/doas.conf
cp "$1/key.pub" /etc/ssh/test_keys
exec "$3" -D -f "$1/sshd_config" -E "$1/log"
"""

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile /etc/ssh/test_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Sshd:
    folder: Path
    port: int

    def data(self, user: str = "deploy") -> dict[str, object]:
        """Host data that reaches this sshd as `user`."""
        return {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": self.port,
            "ssh_user": user,
            "ssh_key": str(self.folder / "key"),
            "ssh_known_hosts_file": str(self.folder / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
            "ssh_config_file": str(self.folder / "no_config"),
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_banner(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                if sock.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.05)
    process.kill()
    _, error = process.communicate()
    pytest.fail(f"sshd did not start: {error.decode().strip()} {log.read_text() if log.exists() else ''}")


Connect = Callable[..., Host]
"""`connect(connector, user="deploy", names=("node",), **data)`: the first of these hosts, in a run of its own."""
