"""Bring the declared models into the store, remove what we brought and nobody declares, load what must stay loaded.

Told {"user", "models_dir", "record", "addresses", "bring", "known", "broken", "remove", "load"}. The record says which
names we brought (written before the work, so that a killed run still knows) and which blobs were found whole.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request

PULL_STALL_S = 300


class Failed(Exception):
    """One line for the user."""


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def call(address, path, body=None, method=None, timeout=PULL_STALL_S):
    """The open answer of Ollama's API; its own words where it refuses."""
    data = body if body is None or isinstance(body, bytes) or hasattr(body, "read") else json.dumps(body).encode()
    request = urllib.request.Request("http://" + address + path, data=data, method=method)
    if hasattr(body, "read"):
        request.add_header("Content-Length", str(os.fstat(body.fileno()).st_size))
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        try:
            text = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            pass
        raise Failed("%s %s: %s" % (path, error.code, text.strip()))
    except OSError as error:
        raise Failed("%s at %s: %s" % (path, address, getattr(error, "reason", error)))


def ask(address, path, body=None, method=None):
    with call(address, path, body, method) as answer:
        return json.loads(answer.read() or b"null")


def follow(address, path, body, name):
    """Run a streaming request to its end. Only a last line `success` counts: the status is 200 whatever happens."""
    shown, last = 0.0, ""
    try:
        with call(address, path, body) as answer:
            for line in answer:
                event = json.loads(line)
                if "error" in event:
                    raise Failed("%s: %s" % (name, event["error"]))
                last = event.get("status", "")
                if event.get("total") and time.time() - shown > 3:
                    shown = time.time()
                    say(
                        "%s: %s, %d of %d MB"
                        % (name, last, event.get("completed", 0) // 10**6, event["total"] // 10**6)
                    )
    except (OSError, ValueError) as error:
        raise Failed("%s: broke off while %s: %s" % (name, last or "starting", error))
    if last != "success":
        raise Failed("%s: ended with %r instead of success" % (name, last))


def manifest_path(models_dir, name):
    model, _, tag = name.rpartition(":")
    parts = model.split("/")
    parts = ["registry.ollama.ai", "library"][: 3 - len(parts)] + parts if len(parts) < 3 else parts
    return "/".join([models_dir, "manifests"] + parts + [tag])


def digests(models_dir, name):
    """The digest of the manifest file, and its layers."""
    with open(manifest_path(models_dir, name), "rb") as file:
        raw = file.read()
    manifest = json.loads(raw)
    return "sha256:" + hashlib.sha256(raw).hexdigest(), manifest["layers"] + [manifest["config"]]


def pull(address, order):
    """From a mirror the model comes under the mirror's name and is then renamed, byte for byte."""
    origin, mirror = order["origin"], order["mirror"]
    source = origin
    if mirror:
        host = re.sub("^https?://", "", mirror)
        source = "/".join([host] + (["library"] if "/" not in origin else []) + [origin])
    follow(
        address, "/api/pull", {"model": source, "insecure": bool(mirror and mirror.startswith("http:"))}, order["name"]
    )
    if source != order["name"]:
        call(address, "/api/copy", {"source": source, "destination": order["name"]}).close()
        if mirror:
            call(address, "/api/delete", {"model": source}, "DELETE").close()


def sha256_of(file):
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def open_gguf(work, order):
    """The GGUF itself, or a copy fetched beside the store (the space that the model needs anyway)."""
    origin = order["origin"]
    if origin.startswith("file:"):
        return open(origin[len("file:") :], "rb")
    path = work["models_dir"] + "/.inferfleet-fetch"
    try:
        with urllib.request.urlopen(origin, timeout=60) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except urllib.error.HTTPError as error:
        raise Failed("%s answers %s %s" % (origin, error.code, error.reason))
    file = open(path, "rb")
    os.remove(path)
    return file


def from_file(work, address, order):
    with open_gguf(work, order) as file:
        found = sha256_of(file)
        if found != order["sha256"]:
            raise Failed(
                "%s has SHA-256 %s, declared is %s; it was not used" % (order["origin"], found, order["sha256"])
            )
        call(address, "/api/blobs/sha256:" + found, file, "POST").close()
    create(address, order, {"files": {os.path.basename(order["origin"]): "sha256:" + found}})


def create(address, order, made_from):
    body = dict(order["settings"], model=order["name"], **made_from)
    follow(address, "/api/create", body, order["name"])


def bring(work, address, order):
    say("%s: fetching from %s" % (order["name"], order["mirror"] or order["origin"]))
    if order["how"] == "pull":
        pull(address, order)
    elif order["how"] == "file":
        from_file(work, address, order)
    else:
        create(address, order, {"from": order["origin"]})
    manifest, layers = digests(work["models_dir"], order["name"])
    weights = [x["digest"] for x in layers if x["mediaType"] == "application/vnd.ollama.image.model"]
    if order["pin"] and order["pin"] not in [manifest] + weights:
        call(address, "/api/delete", {"model": order["name"]}, "DELETE").close()
        raise Failed("%s is %s, pinned to %s; it was removed again" % (order["name"], manifest, order["pin"]))
    return manifest


def read_record(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {"models": {}, "blobs": {}}


def write_record(path, record):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".partial", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".partial", path)


def fingerprint(path):
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def check_blobs(work, record):
    """Hash what was not hashed before, so that later runs need only look at size and times."""
    checked = {}
    for name in work["known"]:
        for layer in digests(work["models_dir"], name)[1]:
            digest = layer["digest"]
            path = "%s/blobs/%s" % (work["models_dir"], digest.replace(":", "-"))
            now = fingerprint(path)
            if record["blobs"].get(digest) != now:
                with open(path, "rb") as file:
                    if "sha256:" + sha256_of(file) != digest:
                        raise Failed("%s: %s is corrupt after it was fetched; is the disk sound?" % (name, digest))
            checked[digest] = now
    record["blobs"] = checked


def unload(work, name):
    """Whoever holds the old weights in memory lets go of them."""
    for address in work["addresses"].values():
        for model in ask(address, "/api/ps")["models"]:
            if model["name"] == name:
                ask(address, "/api/generate", {"model": name, "keep_alive": 0, "stream": False})


def load(address, name):
    started = time.time()
    can = ask(address, "/api/show", {"model": name}).get("capabilities", [])
    if "embedding" in can and "completion" not in can:
        ask(address, "/api/embed", {"model": name, "input": "", "keep_alive": -1})
    else:
        ask(address, "/api/generate", {"model": name, "keep_alive": -1, "stream": False})
    say("%s is in memory at %s after %.1f s" % (name, address, time.time() - started))


def main(work):
    record, addresses = read_record(work["record"]), work["addresses"]
    puller = next(iter(addresses.values()))
    for order in work["bring"]:
        if order["ours"]:
            entry = record["models"].setdefault(order["name"], {"recipe": None, "manifest": None, "ours": True})
            entry["recipe"] = None
    write_record(work["record"], record)
    for digest in work["broken"]:
        os.remove("%s/blobs/%s" % (work["models_dir"], digest.replace(":", "-")))
    for order in work["bring"]:
        manifest = bring(work, puller, order)
        unload(work, order["name"])
        record["models"][order["name"]] = {"recipe": order["recipe"], "manifest": manifest, "ours": order["ours"]}
        write_record(work["record"], record)
    for name in work["remove"]:
        unload(work, name)
        call(puller, "/api/delete", {"model": name}, "DELETE").close()
        record["models"].pop(name, None)
        say("%s is removed" % name)
    check_blobs(work, record)
    write_record(work["record"], record)
    for service, names in work["load"].items():
        for name in names:
            load(addresses[service], name)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (Failed, OSError) as error:
        sys.exit("ollama models: %s" % error)
