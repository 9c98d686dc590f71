"""A program: a small caching HTTP proxy for apt on the lab side.

    python aptcache.py --bind ADDRESS --port PORT --cache DIR PREFIX=URL...

Hosts ask for `PREFIX...` (Debian's usual address); the file comes from `URL...` (the mirror that
this machine uses), fetched by apt's own `apt-helper`, so that every proxy, login, certificate and
transport in this machine's apt configuration is in force. Nothing else is served. Files in a
pool and by-hash files never change and are kept; the rest is asked anew after a minute, and the
kept copy answers if the mirror is away. Files appear by rename, so several proxies may share DIR.

The first line of standard output is the port. Standard library only; started by its path.
"""

import argparse
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

APT_HELPER = "/usr/lib/apt/apt-helper"
FRESH_S = 60.0
FIXED = re.compile(r"/pool/.*\.u?deb$|/by-hash/")


class UpstreamError(Exception):
    """The mirror has no answer; `status` is the HTTP status to pass on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def fetch(url: str, target: Path) -> None:
    """Put what `url` holds at `target`, whole or not at all.

    Raises:
        UpstreamError: with 404 where the mirror said so, else 502.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    # Without privileges dropped: apt's sandbox user cannot write below a root-only cache directory.
    argv = [APT_HELPER, "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1", "download-file", url, str(part)]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            failed = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["E: no message"]
            raise UpstreamError(404 if re.search(r"\b404\b", failed[0]) else 502, failed[0])
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class Cache:
    """Files by the address under which hosts ask for them."""

    def __init__(self, directory: Path, upstreams: dict[str, str]) -> None:
        self.directory = directory
        self.upstreams = upstreams
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        directory.mkdir(parents=True, exist_ok=True)
        for part in directory.glob("*.part"):  # of a proxy that was killed
            if time.time() - part.stat().st_mtime > 86400:
                part.unlink(missing_ok=True)

    def upstream(self, address: str) -> str | None:
        """The mirror's address for it; None for what is not ours to serve."""
        for prefix, url in self.upstreams.items():
            if address.startswith(prefix) and "/../" not in address:
                return url + address.removeprefix(prefix)
        return None

    def get(self, address: str, url: str) -> tuple[Path, str]:
        """The file, and how it was had: HIT, MISS or STALE.

        Raises:
            UpstreamError: it is neither here nor there.
        """
        digest = hashlib.sha256(address.encode()).hexdigest()[:32]
        target = self.directory / f"{digest}-{address.rsplit('/', 1)[-1][:80]}"
        with self._locks[target.name]:
            if target.exists() and (FIXED.search(address) or time.time() - target.stat().st_mtime < FRESH_S):
                return target, "HIT"
            try:
                fetch(url, target)
                os.utime(target)  # apt-helper keeps the mirror's time; ours is when we asked
            except UpstreamError as error:
                if error.status == 404 or not target.exists():
                    raise
                return target, "STALE"
            return target, "MISS"


def handler(cache: Cache) -> type[http.server.BaseHTTPRequestHandler]:
    """The request handler that answers from `cache`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = cache.upstream(self.path)
            if url is None:
                return self.send_error(403, "not served by this proxy")
            try:
                path, how = cache.get(self.path, url)
                with path.open("rb") as file:
                    self.send_response(200)
                    self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
                    self.send_header("X-Cache", how)
                    self.end_headers()
                    if self.command == "GET":
                        shutil.copyfileobj(file, self.wfile)
            except UpstreamError as error:
                self.send_error(error.status, str(error)[:200])

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            sys.stderr.write(f"{self.client_address[0]} {format % args}\n")

    return Handler


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("upstreams", nargs="+", metavar="PREFIX=URL")
    arguments = parser.parse_args()
    upstreams = dict(pair.split("=", 1) for pair in arguments.upstreams)
    cache = Cache(arguments.cache, upstreams)
    server = http.server.ThreadingHTTPServer((arguments.bind, arguments.port), handler(cache))
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
