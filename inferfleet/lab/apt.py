"""The lab side's apt: the caching proxy as a process, and the apt files of hosts."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab import aptcache
from inferfleet.lab.aptsource import ARCHIVE, SECURITY, Mirror
from inferfleet.lab.paths import apt_cache_dir
from inferfleet.lab.system import environment

PROXY_PORT = 3142  # apt-cacher's port, known to people who look at apt proxies


def proxy_command(bind: str, port: int, mirror: Mirror) -> list[str]:
    """The command line of the caching proxy; port 0 takes a free one."""
    program = [sys.executable, "-I", "-S", aptcache.__file__]
    return [*program, "--bind", bind, "--port", str(port), "--cache", str(apt_cache_dir()), *mirror.proxy_map()]


@contextmanager
def temporary_proxy(mirror: Mirror, log: Path) -> Iterator[str]:
    """Run a proxy on loopback for as long as the block lasts; yields its URL.

    Raises:
        LabError: it did not start.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", *proxy_command("127.0.0.1", 0, mirror)]
    with log.open("ab") as errors:
        proxy = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment())
    try:
        port = proxy.stdout.readline().strip() if proxy.stdout else ""
        if not port:
            raise LabError("apt proxy: did not start", f"read {log}")
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.kill()
        proxy.communicate()


def sources(suite: str) -> str:
    """The `debian.sources` of a new server of that suite."""
    entry = "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {key}\n"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    archive = entry.format(uri=ARCHIVE, suites=f"{suite} {suite}-updates", key=key)
    return archive + "\n" + entry.format(uri=SECURITY, suites=f"{suite}-security", key=key)


def host_settings(gateway: str, dates: str) -> str:
    """apt.conf of a host: packages through the lab's proxy, which may have to fetch them first."""
    return (
        f'Acquire::http::Proxy "http://{gateway}:{PROXY_PORT}";\n'
        f'Acquire::http::Proxy::{gateway} "DIRECT";\n'
        'Acquire::https::Proxy "DIRECT";\n'
        'Acquire::http::Timeout "300";\n'
        f"{dates}"
    )
