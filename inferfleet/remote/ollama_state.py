"""Answer, as one line of JSON, everything that decides whether this host's Ollama is as declared.

Asked with {"root", "units", "addresses", "models_dir", "models", "home", "user", "record", "unit_dir"}. Changes nothing.
"""

import glob
import hashlib
import json
import os
import pwd
import stat
import subprocess
import sys
import urllib.error
import urllib.request

MARK = "# Managed by inferfleet"
DROP_IN = "zz-inferfleet.conf"
SHOWN = "Id,Names,LoadState,FragmentPath,DropInPaths,UnitFileState,ActiveState,MainPID,NeedDaemonReload"


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def read_json(path):
    try:
        return json.loads(read(path) or "null")
    except ValueError:
        return None


def get(address, path):
    try:
        with urllib.request.urlopen("http://" + address + path, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def owner(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return {"owner": name, "mode": "%o" % stat.S_IMODE(status.st_mode)}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def user(name):
    try:
        return {"home": pwd.getpwnam(name).pw_dir}
    except KeyError:
        return None


def release(root):
    """Which versions are unpacked whole, and which is live. The unpacker wrote down each file's size and time."""
    versions = {}
    for marker in glob.glob(root + "/*/.inferfleet.json"):
        directory = os.path.dirname(marker)
        versions[os.path.basename(directory)] = {
            "damaged": damage(directory, read_json(marker) or {}),
            "unpacked": os.stat(marker).st_mtime,
        }
    link = root + "/current"
    return {"current": os.readlink(link) if os.path.islink(link) else None, "versions": versions}


def damage(directory, marker):
    """The first file that is not as it was unpacked; None when all are."""
    files = marker.get("files") or {"(list of files)": None}
    for name, (size, mtime) in ((n, v or (0, 0)) for n, v in files.items()):
        try:
            status = os.lstat(os.path.join(directory, name))
        except OSError:
            return name
        if (status.st_size, int(status.st_mtime)) != (size, mtime) or status.st_uid != 0:
            return name
    binary = marker.get("binary")
    if binary and sha256(os.path.join(directory, "bin/ollama")) != binary:
        return "bin/ollama"
    return None


def environment(pid):
    """The environment a process was started with; empty when it is gone."""
    try:
        with open("/proc/%s/environ" % pid, "rb") as file:
            entries = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def executable(pid):
    try:
        return os.readlink("/proc/%s/exe" % pid)
    except OSError:
        return None


def systemctl_show(names):
    if not names:
        return {}
    command = ["systemctl", "show", "-p", SHOWN] + [name + ".service" for name in names]
    text = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return dict(zip(names, blocks))


def unit(name, shown, unit_dir):
    path, drop_in = "%s/%s.service" % (unit_dir, name), "%s/%s.service.d/%s" % (unit_dir, name, DROP_IN)
    pid = shown.get("MainPID", "0")
    started_with = environment(pid) if pid != "0" else {}
    return {
        "file": read(path) if not os.path.islink(path) else None,
        "link": os.readlink(path) if os.path.islink(path) else None,
        "file_owner": owner(path),
        "drop_in": read(drop_in),
        "drop_in_owner": owner(drop_in),
        "load": shown.get("LoadState", ""),
        "fragment": shown.get("FragmentPath", ""),
        "drop_ins": shown.get("DropInPaths", "").split(),
        "enabled": shown.get("UnitFileState", ""),
        "active": shown.get("ActiveState", ""),
        "stale": shown.get("NeedDaemonReload", "no") == "yes",
        "executable": executable(pid) if pid != "0" else None,
        "environment": started_with,
    }


def marked_units(unit_dir):
    """Units that carry our drop-in, whether or not they are still declared."""
    paths = glob.glob("%s/*.service.d/%s" % (unit_dir, DROP_IN))
    ours = [p for p in paths if (read(p) or "").startswith(MARK)]
    return sorted(os.path.basename(os.path.dirname(p))[: -len(".service.d")] for p in ours)


def stranger(unit_dir):
    """Where an `ollama.service` that is not ours comes from; None when there is none."""
    for directory in (unit_dir, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        text = read(directory + "/ollama.service")
        if text is not None:
            return None if text.startswith(MARK) else directory + "/ollama.service"
    return None


def manifests(models_dir):
    """Model name -> path of its manifest."""
    root = models_dir + "/manifests/"
    found = {}
    for path in glob.glob(root + "*/*/*/*"):
        registry, namespace, model, tag = path[len(root) :].split("/")
        prefix = "" if registry == "registry.ollama.ai" else registry + "/"
        prefix += "" if (registry, namespace) == ("registry.ollama.ai", "library") else namespace + "/"
        found["%s%s:%s" % (prefix, model, tag)] = path
    return found


def fingerprint(path):
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def blob_state(path, layer, known):
    """`known`, `new`, `missing` or `corrupt`. What was hashed once is hashed again only when its file has changed."""
    try:
        now = fingerprint(path)
    except OSError:
        return "missing"
    if now[0] != layer.get("size"):
        return "corrupt"
    if known.get(layer["digest"]) == now:
        return "known"
    return "new" if "sha256:" + sha256(path) == layer["digest"] else "corrupt"


def model(path, models_dir, known):
    """A model in the store: digests of its manifest and weights, and what of its blobs is broken or not yet recorded."""
    manifest = read_json(path) or {}
    layers = [x for x in manifest.get("layers", []) + [manifest.get("config")] if x and x.get("digest")]
    broken, new = {}, []
    for layer in layers:
        found = blob_state("%s/blobs/%s" % (models_dir, layer["digest"].replace(":", "-")), layer, known)
        if found == "new":
            new.append(layer["digest"])
        elif found != "known":
            broken[layer["digest"]] = found
    if not layers:
        broken["manifest"] = "corrupt"
    weights = [x["digest"] for x in layers if x.get("mediaType") == "application/vnd.ollama.image.model"]
    return {"manifest": "sha256:" + sha256(path), "weights": weights, "broken": broken, "new": new}


def models(models_dir, known, names):
    """The models of these names, and the names alone of all others."""
    found = manifests(models_dir)
    return {n: model(path, models_dir, known) if n in names else None for n, path in found.items()}


def foreign_files(models_dir, name):
    """One path in the store that does not belong to the service's user; None when all do."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
    for directory, _, files in os.walk(models_dir):
        for path in [directory] + [os.path.join(directory, file) for file in files]:
            if os.lstat(path).st_uid != uid:
                return path
    return None


def loaded(address):
    answer = get(address, "/api/ps")
    if answer is None:
        return None
    return {m["name"]: {"size": m["size"], "size_vram": m["size_vram"]} for m in answer["models"]}


def main(ask):
    record = read_json(ask["record"]) or {}
    ours = marked_units(ask["unit_dir"])
    names = sorted(set(ask["units"]) | set(ours))
    shown = systemctl_show(names)
    state = {
        "user": user(ask["user"]),
        "directories": {path: owner(path) for path in (ask["home"], ask["models_dir"])},
        "misowned": foreign_files(ask["models_dir"], ask["user"]),
        "release": release(ask["root"]),
        "units": {name: unit(name, shown[name], ask["unit_dir"]) for name in names},
        "ours": ours,
        "stranger": stranger(ask["unit_dir"]),
        "models": models(ask["models_dir"], record.get("blobs", {}), ask["models"]),
        "record": record,
        "loaded": {name: loaded(address) for name, address in ask["addresses"].items()},
        "version": {name: (get(a, "/api/version") or {}).get("version") for name, a in ask["addresses"].items()},
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
