"""Docker alone on lab hosts, run by the real `pyinfra`, and containers that need no registry."""

import base64
from pathlib import Path
from typing import Any

from inferfleet.lab import Lab, LabHost
from tests.lab.project import Project

DEPLOY = """\
from pyinfra import host
from inferfleet.engines.docker_host import Closed, DockerHost
from inferfleet.operations import docker
from inferfleet.spec import Docker, Sources

data = host.data.dict()
published = tuple(map(tuple, data["published"]))
closed = Closed(*data["closed"]) if data.get("closed") else None
declared = DockerHost(Docker(**data["docker"]), Sources(**data["sources"]), published, needs_cdi=True, closed=closed)
docker.engine(name="Docker", declared=declared)
"""
# Does it answer with a page? A peer asks for all addresses at once; each answer is a line `ADDRESS open|closed`.
_KNOCK = """\
import socket, sys, threading
def knock(where):
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 0.7) as web:
            web.sendall(b"GET /index.html HTTP/1.0\\r\\n\\r\\n")
            answer = web.recv(99)
    except OSError:
        answer = b""
    found[where] = "open" if answer else "closed"
found = {}
for thread in [threading.Thread(target=knock, args=(where,)) for where in sys.argv[1:]]:
    thread.start()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
for where in sys.argv[1:]:
    print(where, found[where])
"""
_IMAGE = """\
command -v busybox >/dev/null || apt-get -qq -o Dpkg::Use-Pty=0 install -y busybox-static >/dev/null 2>&1
mkdir -p /tmp/image/bin /tmp/image/www && cp /bin/busybox /tmp/image/bin/ && ln -sf busybox /tmp/image/bin/httpd
echo page > /tmp/image/www/index.html; tar -C /tmp/image -c . | docker import - web:1 >/dev/null
"""
_ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"


class DockerProject(Project):
    """One host's Docker as plain data: its settings, sources and what is published."""

    def __init__(self, directory: Path, lab: Lab, name: str, fingerprint: str) -> None:
        super().__init__(directory, lab, {name: {}})
        (directory / "deploy.py").write_text(DEPLOY)
        self.name = name
        sources = {"docker": f"http://{lab.gateway}/linux", "docker_fingerprint": fingerprint}
        self.data = {"docker": {}, "sources": sources, "published": []}

    @property
    def machine(self) -> LabHost:
        return self.host(self.name)

    def declare(self, **settings: Any) -> None:
        self.data["docker"] = settings

    def sh(self, command: str, check: bool = True) -> str:
        """What a command on the host writes."""
        return self.machine.run(command, check=check).stdout.strip()

    def web_image(self) -> None:
        """The image `web:1`: a web server in one static binary."""
        self.sh(_IMAGE)

    def web(self, name: str, *options: str) -> str:
        """A container of it runs; its address."""
        run = f"docker run -d --init --name {name} {' '.join(options)} web:1 /bin/httpd -f -p 80 -h /www"
        self.sh(f'[ -n "$(docker ps -q -f name={name})" ] || {run}')
        return self.sh(
            f"docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' {name}"
        )


def reachable(peer: LabHost, *addresses: str) -> set[str]:
    """Those of the addresses that answer the peer."""
    program = base64.b64encode(_KNOCK.encode()).decode()
    said = peer.run(f"echo {program} | base64 -d | python3 - {' '.join(addresses)}").stdout
    return {line.split()[0] for line in said.splitlines() if line.endswith(" open")}
