"""Pull or load the declared images, and remove images that we once brought and nobody uses.

Told {"bring", "remove", "proxy"}. What we bring is recorded before the work, so that a killed run still knows it. What
is not as declared is not kept, and tags that an archive took from other images are given back.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from inferfleet.remote.docker_api import Docker, DockerError, docker_path
from inferfleet.remote.images_state import IMAGES_RECORD, image, images_record

SHOW_S = 3


class Failed(Exception):
    """One line for the user."""


def say(text: str) -> None:
    """One line for the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def short(name: str) -> str:
    """A name for lines of progress: of a digest the first twelve digits."""
    reference, at, digest = name.partition("@")
    return reference + at + digest[:19]


class Progress:
    """What somebody who waits sees of one image, every few seconds."""

    def __init__(self, name: str) -> None:
        self.name = short(name)
        self.shown = time.time()
        self.sizes: dict[str, int] = {}
        self.fetched: dict[str, int] = {}
        self.layers: set[str] = set()
        self.ready: set[str] = set()

    def see(self, event: dict[str, Any]) -> None:
        """A line of Docker's."""
        layer, status, detail = event.get("id", ""), event.get("status", ""), event.get("progressDetail") or {}
        if status == "Pulling fs layer":
            self.layers.add(layer)
        elif status == "Downloading" and detail.get("total", 0) > 0:
            self.sizes[layer], self.fetched[layer] = detail["total"], detail["current"]
        elif status in ("Verifying Checksum", "Download complete"):
            self.fetched[layer] = self.sizes.get(layer, 0)
        elif status in ("Pull complete", "Already exists"):
            self.ready.add(layer)
        done, size = sum(self.fetched.values()), sum(self.sizes.values())
        if size and done < size:
            self.tell("fetching", done, size)
        elif status in ("Extracting", "Loading layer"):
            parts = f", {len(self.ready)} of {len(self.layers | self.ready)} layers" if self.layers else ""
            self.tell(f"unpacking{parts}", detail.get("current", 0), detail.get("total", 0))

    def tell(self, what: str, done: int, size: int) -> None:
        """How far it is, unless that was said a moment ago."""
        if time.time() - self.shown > SHOW_S:
            self.shown = time.time()
            part = f", {100 * done // size} %" if size else ""
            say(f"{self.name}: {what}{part}, {done // 10**6}{f' of {size // 10**6}' if size else ''} MB")


def explained(docker: Docker, name: str, origin: str, error: DockerError) -> Failed:
    """What Docker says, and what to do about it."""
    said = str(error)
    if "no space left" in said:
        root = docker.ask("/info")["DockerRootDir"]
        free = shutil.disk_usage(root).free // 10**6
        return Failed(f"{name}: disk is full: {root}, where Docker keeps images, has {free} MB free")
    if "HTTP response to HTTPS client" in said:
        return Failed(f"{name}: {origin} speaks plain http; name it in docker.insecure_registries")
    if any(word in said for word in ("dial tcp", "no such host", "timeout", "deadline exceeded", "TLS handshake")):
        return Failed(f"{name}: registry {origin} cannot be reached: {said}")
    if "verification failed" in said or "mismatched" in said:
        return Failed(f"{name}: {origin} gave another image than the declared one; it was not kept: {said}")
    if "manifest unknown" in said or "not found" in said or error.status == 404:
        part = "digest" if "@" in name else "tag"
        return Failed(f"{name}: {origin} has no such image: {said}; check the {part} in engines.ollama.image")
    return Failed(f"{name}: {said}")


def write_record(record: dict[str, str | None]) -> None:
    """Whole at any moment."""
    os.makedirs(os.path.dirname(IMAGES_RECORD), exist_ok=True)
    part = IMAGES_RECORD + ".part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
        file.write("\n")
    os.replace(part, IMAGES_RECORD)


def is_declared(found: dict[str, Any], order: dict[str, Any]) -> bool:
    """Whether an image is the pinned one."""
    return order["digest"] is None or order["digest"] in [found["id"], *found["digests"]]


def login(registry: str) -> dict[str, str]:
    """What root has given to `docker login` on this host for a registry, as a header; nothing where it has not."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    place = "https://index.docker.io/v1/" if registry == "docker.io" else registry
    try:
        with open(f"{directory}/config.json", encoding="utf-8") as file:
            known = base64.b64decode(json.load(file)["auths"][place]["auth"]).decode()
    except (OSError, LookupError, TypeError, ValueError):
        return {}
    name, _, password = known.partition(":")
    told = {"username": name, "password": password, "serveraddress": place}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(told).encode()).decode()}


def pull(docker: Docker, order: dict[str, Any]) -> dict[str, str | None]:
    """From a registry. Docker checks a digest itself, goes on where it broke off, and keeps no half of an image."""
    progress = Progress(order["name"])
    # The registry's own address, for what is said of it; Docker's own registry is not named in a reference.
    first = order["from"].partition("/")[0]
    origin = first if "." in first or ":" in first or first == "localhost" else "docker.io"
    path = docker_path("/images/create", fromImage=order["from"], tag=order["version"])
    try:
        for event in docker.follow(path, headers=login(origin)):
            progress.see(event)
    except DockerError as error:
        raise explained(docker, order["name"], origin, error) from error
    found = image(docker, order["runs"])
    if found is None or not is_declared(found, order):
        raise Failed(f"{order['name']}: {origin} gave another image than the declared one: {found and found['id']}")
    return {order["runs"]: found["id"]}


def blocks(order: dict[str, Any]) -> Iterator[bytes]:
    """An archive's bytes, from a file of the host or from a URL; they must all come."""
    origin, progress, done = order["archive"], Progress(order["name"]), 0
    try:
        if origin.startswith("/"):
            source: Any = open(origin, "rb")  # noqa: SIM115  # closed below
            size = os.fstat(source.fileno()).st_size
        else:
            source = urllib.request.urlopen(origin, timeout=60)
            size = int(source.headers.get("Content-Length") or 0)
        with source:
            for block in iter(lambda: source.read(1 << 20), b""):
                done += len(block)
                yield block
                progress.tell("loading", done, size)
    except urllib.error.HTTPError as error:
        raise Failed(f"{order['name']}: {origin} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise Failed(f"{order['name']}: archive {origin} cannot be read: {why}") from error
    if done < size:
        raise Failed(f"{order['name']}: archive {origin} broke off after {done} of {size} bytes; run again")


def tags(docker: Docker) -> dict[str, str]:
    """Tag -> ID of every image that has one, and ID -> ID of every image."""
    found: dict[str, str] = {}
    for entry in docker.ask("/images/json"):
        found[entry["Id"]] = entry["Id"]
        found.update((name, entry["Id"]) for name in entry.get("RepoTags") or [] if name != "<none>:<none>")
    return found


def load(docker: Docker, order: dict[str, Any]) -> dict[str, str | None]:
    """From an archive, streamed into Docker. Gives what is there now and was not before."""
    before, progress, loaded = tags(docker), Progress(order["name"]), []
    try:
        for event in docker.follow("/images/load", blocks(order), timeout=3600):
            progress.see(event)
            # `Loaded image: NAME`, or `Loaded image ID: sha256:...` where it has none.
            if event.get("stream", "").startswith("Loaded image"):
                loaded.append(event["stream"].partition(": ")[2].strip())
    except (DockerError, Failed) as error:
        undo(docker, before)
        if isinstance(error, Failed):
            raise
        raise explained(docker, order["name"], order["archive"], error) from error
    found = image(docker, order["runs"])
    if found is None or not is_declared(found, order):
        now = tags(docker)
        got = ", ".join(f"{name} ({now[name]})" if now.get(name, name) != name else name for name in loaded)
        undo(docker, before)
        pin = order["digest"] or order["runs"]
        raise Failed(f"{order['name']}: {order['archive']} holds {got or 'no image'}, not {pin}; it was not kept")
    give_back(docker, before)
    return {name: known for name, known in tags(docker).items() if name not in before}


def give_back(docker: Docker, before: dict[str, str]) -> None:
    """Tags that stood at other images stand there again."""
    now = tags(docker)
    for name, known in before.items():
        if name != known and now.get(name) != known and known in now:
            repository, _, tag = name.rpartition(":")
            docker.call(docker_path(f"/images/{known}/tag", repo=repository, tag=tag), method="POST").close()


def undo(docker: Docker, before: dict[str, str]) -> None:
    """The images are again those that were there before."""
    give_back(docker, before)
    for name in sorted(set(tags(docker)) - set(before), key=lambda one: one.startswith("sha256:")):
        remove(docker, name)


def remove(docker: Docker, name: str) -> bool:
    """A name is gone, and with its last name the image; one that is used, or has another name, stays."""
    try:
        docker.ask(f"/images/{name}", method="DELETE")
    except DockerError as error:
        if error.status not in (404, 409):
            raise
        return error.status == 404
    return True


def bring(docker: Docker, order: dict[str, Any]) -> None:
    """The image is there as declared, and recorded as ours."""
    if image(docker, order["runs"]) is not None:
        return
    origin = f"loading from {order['archive']}" if order["archive"] else f"pulling from {order['from']}"
    say(f"{short(order['name'])}: {origin}")
    record = images_record()
    write_record(dict(record, **{order["runs"]: None}))
    try:
        record.update(load(docker, order) if order["archive"] else pull(docker, order))
    finally:
        write_record(record)
    say(f"{short(order['name'])}: is there")


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)
    os.environ.update(work["proxy"])
    docker = Docker()
    for order in work["bring"]:
        bring(docker, order)
    for name in work["remove"]:
        if remove(docker, name):
            write_record({known: at for known, at in images_record().items() if known != name})
            say(f"image {name}: removed")
        else:
            say(f"image {name}: is still used, so it stays")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, DockerError, Failed) as problem:
        sys.exit(f"images: {problem}")
