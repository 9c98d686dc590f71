"""Bring the declared models into the store, load what must stay loaded, remove what we brought and nobody declares.

Told {"models_dir", "proxy", "record", "addresses", "bring", "known", "checked", "broken", "remove", "forget", "load",
"stay"}. The record says which names we brought (written before the work, so that a killed run still knows) and which
blobs were whole.
"""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from typing import Any, BinaryIO

from inferfleet.remote.ollama_api import PATIENCE_S, Failed, ask, call, follow, say
from inferfleet.remote.ollama_memory import load
from inferfleet.remote.ollama_store import blob_path, digests, fingerprint, manifest_digest, sha256_of, weights


def source_of(order: dict[str, Any]) -> str:
    """The name that is pulled: the mirror's own where there is one."""
    origin, host = order["origin"], re.sub("^https?://", "", order["mirror"] or "")
    return "/".join([*([host] if host else []), *(["library"] if host and "/" not in origin else []), origin])


def passes(models_dir: str, order: dict[str, Any]) -> bool:
    """Whether a mirror's name is in the store for the time of the pull only: one that is there before is a user's."""
    return bool(order["mirror"]) and manifest_digest(models_dir, source_of(order)) is None


def pull(models_dir: str, address: str, order: dict[str, Any]) -> None:
    """From a mirror the model comes under the mirror's name and is then renamed, byte for byte."""
    source, passing = source_of(order), passes(models_dir, order)
    body = {"model": source, "insecure": (order["mirror"] or "").startswith("http:")}
    follow(address, "/api/pull", body, order["name"])
    if source != order["name"]:
        call(address, "/api/copy", {"source": source, "destination": order["name"]}).close()
    if passing:
        call(address, "/api/delete", {"model": source}, "DELETE").close()


def open_gguf(work: dict[str, Any], order: dict[str, Any]) -> BinaryIO:
    """The GGUF itself, or a copy without a name beside the store, of which nothing is left however this run ends."""
    origin = order["origin"]
    if origin.startswith("file:"):
        return open(origin[len("file:") :], "rb")
    path = f"{work['models_dir']}/.inferfleet-fetch"
    copy = open(path, "w+b")  # noqa: SIM115  # the caller closes it
    os.remove(path)
    try:
        with urllib.request.urlopen(origin, timeout=60) as answer:
            save(answer, copy, order["name"])
    except (OSError, http.client.HTTPException) as error:
        why = f"answers {error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)
        raise Failed(f"{order['name']}: {origin}: {why}") from error
    copy.seek(0)
    return copy


def save(answer: Any, copy: BinaryIO, name: str) -> None:
    """All of an answer is in the file, and somebody who waits for it sees how far it is."""
    size, shown = int(answer.headers.get("Content-Length") or 0), time.time()
    for block in iter(lambda: answer.read(1 << 20), b""):
        copy.write(block)
        if time.time() - shown > 3:
            shown = time.time()
            say(f"{name}: fetching, {copy.tell() // 10**6} of {size // 10**6} MB")


def has_blob(address: str, digest: str) -> bool:
    """Whether the store has it. Ollama 0.32 answers a second upload before it has read it, which cuts the line."""
    try:
        call(address, f"/api/blobs/{digest}", method="HEAD").close()
        return True
    except Failed:
        return False


def from_file(work: dict[str, Any], address: str, order: dict[str, Any]) -> None:
    """The GGUF becomes a blob, if it is the declared one, and the blob a model; one that is there is not fetched."""
    digest = f"sha256:{order['sha256']}"
    if not has_blob(address, digest):
        upload(work, address, order, digest)
    create(address, order, {"files": {os.path.basename(order["origin"]): digest}})


def upload(work: dict[str, Any], address: str, order: dict[str, Any], digest: str) -> None:
    """Give the GGUF to Ollama, if it is the declared one."""
    with open_gguf(work, order) as file:
        found = sha256_of(file)
        if found != order["sha256"]:
            raise Failed(f"{order['origin']} has SHA-256 {found}, declared is {order['sha256']}; it was not used")
        call(address, f"/api/blobs/{digest}", file, "POST", PATIENCE_S).close()


def create(address: str, order: dict[str, Any], made_from: dict[str, Any]) -> None:
    """The model is made anew with the declared settings."""
    follow(address, "/api/create", dict(order["settings"], model=order["name"], **made_from), order["name"])


def bring(work: dict[str, Any], address: str, order: dict[str, Any]) -> str:
    """The model is in the store as declared; its manifest's digest."""
    say(f"{order['name']}: fetching from {order['mirror'] or order['origin']}")
    before = manifest_digest(work["models_dir"], order["name"])
    if order["how"] == "pull":
        pull(work["models_dir"], address, order)
    elif order["how"] == "file":
        from_file(work, address, order)
    else:
        create(address, order, {"from": order["origin"]})
    manifest, layers = digests(work["models_dir"], order["name"])
    if order["pin"] and order["pin"] not in [manifest, *weights(layers)]:
        if manifest == before:
            raise Failed(f"{order['name']} is {manifest}, pinned to {order['pin']}; it was left as it was")
        call(address, "/api/delete", {"model": order["name"]}, "DELETE").close()
        raise Failed(f"{order['name']} is {manifest}, pinned to {order['pin']}; it was removed again")
    return manifest


def read_record(path: str) -> dict[str, Any]:
    """What earlier runs wrote down; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        found = None
    return {"models": {}, "blobs": {}, **(found if isinstance(found, dict) else {})}


def write_record(path: str, record: dict[str, Any]) -> None:
    """Whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".partial", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".partial", path)


def check_blobs(work: dict[str, Any], record: dict[str, Any], names: list[str]) -> None:
    """Hash what was not hashed before, so that later runs need only look at size and times."""
    known, checked = {**record["blobs"], **work["checked"]}, {}
    for name in names:
        for layer in digests(work["models_dir"], name)[1]:
            digest = layer["digest"]
            path = blob_path(work["models_dir"], digest)
            now = fingerprint(path)
            if known.get(digest) != now:
                with open(path, "rb") as file:
                    if f"sha256:{sha256_of(file)}" != digest:
                        raise Failed(f"{name}: {digest} is corrupt after it was fetched; is the disk sound?")
            checked[digest] = now
    drop_orphans(work["models_dir"], set(record["blobs"]) - set(checked))
    record["blobs"] = checked


def drop_orphans(models_dir: str, digests: set[str]) -> None:
    """Of these blobs, no manifest's are removed: with OLLAMA_NOPRUNE a replaced model's weights would stay for ever."""
    used = ""
    for path in glob.glob(f"{models_dir}/manifests/*/*/*/*"):
        with open(path, encoding="utf-8", errors="replace") as file:
            used += file.read()
    for digest in digests:
        if digest not in used:
            with contextlib.suppress(FileNotFoundError):
                os.remove(blob_path(models_dir, digest))


def unload(work: dict[str, Any], name: str) -> None:
    """Whoever holds the old weights in memory lets go of them."""
    for address in work["addresses"].values():
        for model in ask(address, "/api/ps")["models"]:
            if model["name"] == name:
                ask(address, "/api/generate", {"model": name, "keep_alive": 0, "stream": False})


def all_stay(work: dict[str, Any]) -> None:
    """What was loaded has not driven out what must stay, too: each run would load one and drive out the other."""
    for service, names in work["stay"].items():
        there = [model["name"] for model in ask(work["addresses"][service], "/api/ps")["models"]]
        held = [weights(digests(work["models_dir"], n)[1]) for n in there if manifest_digest(work["models_dir"], n)]
        for name in names:
            if name not in there and weights(digests(work["models_dir"], name)[1]) not in held:
                do = "lower `context` or `parallel`, place fewer models on it, or set `max_loaded_models`"
                raise Failed(f"{name} left the memory of {service} when others came: they do not fit together; {do}")


def explained(work: dict[str, Any], said: str) -> str:
    """Why a model could not be brought. Nothing is deleted to make room: what is there may be what everybody uses."""
    if "no space left" not in said.lower():
        return said
    free = shutil.disk_usage(work["models_dir"]).free // 10**6
    kept = f"{', '.join(work['remove'])} would go once all else is there; " if work["remove"] else ""
    return f"{said}: disk is full: {work['models_dir']} has {free} MB free; {kept}make room, or remove a model by hand"


def remove_all(work: dict[str, Any], record: dict[str, Any], puller: str) -> None:
    """What is declared no longer is gone."""
    for name in work["remove"]:
        call(puller, "/api/delete", {"model": name}, "DELETE").close()
        record["models"].pop(name, None)
        write_record(work["record"], record)
        say(f"{name} is removed")


def kept(work: dict[str, Any]) -> list[str]:
    """What is said of models that stay because others could not be brought."""
    names = ", ".join(work["remove"])
    return [f"{names}: no longer declared, and stays until all declared models are there"] if names else []


def bring_all(work: dict[str, Any], record: dict[str, Any], puller: str) -> dict[str, str]:
    """Every ordered model is brought, and the record is true after each; which ones could not be, and why."""
    for order in work["bring"]:
        if order["ours"]:
            entry = record["models"].setdefault(order["name"], {"recipe": None, "manifest": None, "ours": True})
            entry["recipe"] = None
        if passes(work["models_dir"], order):
            record["models"][source_of(order)] = {"recipe": None, "manifest": None, "ours": True}
    write_record(work["record"], record)
    for digest in work["broken"]:
        os.remove(blob_path(work["models_dir"], digest))
    failures = {}
    for order in work["bring"]:
        try:
            passing = passes(work["models_dir"], order)
            manifest = bring(work, puller, order)
            if passing:
                record["models"].pop(source_of(order), None)
            unload(work, order["name"])
        except (Failed, OSError) as error:
            failures[order["name"]] = explained(work, str(error))
            continue
        record["models"][order["name"]] = {"recipe": order["recipe"], "manifest": manifest, "ours": order["ours"]}
        write_record(work["record"], record)
    return failures


def main(work: dict[str, Any]) -> None:
    """Bring it about. One instance does all the fetching, because they share one store.

    A model goes only when every declared one is there and in memory: the one that is to replace it may be a typo.

    Raises:
        Failed: one line for each model that could not be brought; all others are, and none is removed.
    """
    os.environ.update(work["proxy"])
    record, addresses = read_record(work["record"]), work["addresses"]
    puller = next(iter(addresses.values()))
    for name in work["forget"]:
        record["models"].pop(name, None)
    failures = bring_all(work, record, puller)
    check_blobs(work, record, [name for name in work["known"] if name not in failures])
    write_record(work["record"], record)
    if not failures:
        for name in work["remove"]:
            unload(work, name)
    for service, names in work["load"].items():
        for name in names:
            if name not in failures:
                load(addresses[service], name)
    if failures:
        raise Failed("\nollama models: ".join([*failures.values(), *kept(work)]))
    all_stay(work)
    remove_all(work, record, puller)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (Failed, OSError) as error:
        sys.exit(f"ollama models: {error}")
