"""Answer, as one line of JSON, everything that decides whether this host's Ollama is as declared.

Asked with {"root", "units", "addresses", "models_dir", "models", "home", "user", "record", "unit_dir",
"environment_dir"}; alters nothing.
"""

from __future__ import annotations

import contextlib
import glob
import grp
import http.client
import json
import os
import pwd
import sys
import urllib.request
from typing import Any

from inferfleet.remote.look import MARK, container_units, not_ours, owner, read, read_json, systemctl_show
from inferfleet.remote.ollama_store import fingerprint, sha256_of

DROP_IN = "zz-inferfleet.conf"

# This host itself is never asked through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read_record(path: str) -> dict[str, Any]:
    """What earlier runs wrote down, without what has not their form: an edited record is no reason to stop."""
    found = read_json(path)
    models, blobs = (value if isinstance(value, dict) else {} for value in map(found.get, ("models", "blobs")))
    whole = {n: e for n, e in models.items() if isinstance(e, dict) and {"recipe", "manifest", "ours"} <= e.keys()}
    return {"models": whole, "blobs": blobs}


def get(address: str, path: str) -> Any:
    """What Ollama answers; None where it does not."""
    try:
        with _DIRECT.open(f"http://{address}{path}", timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def sha256(path: str) -> str:
    """The digest of a file."""
    with open(path, "rb") as file:
        return sha256_of(file)


def user(name: str) -> dict[str, Any] | None:
    """The account, and those groups that may open cards which it is not in; None where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = [group for group in grp.getgrall() if group.gr_name in ("render", "video")]
    outside = [g.gr_name for g in groups if name not in g.gr_mem and g.gr_gid != entry.pw_gid]
    return {"home": entry.pw_dir, "outside": sorted(outside)}


def release(root: str) -> dict[str, Any]:
    """Which versions are unpacked whole, and which is live. The unpacker wrote down each file's size and time."""
    versions = {}
    for marker in glob.glob(f"{root}/*/.inferfleet.json"):
        directory = os.path.dirname(marker)
        if os.path.islink(directory):
            continue
        versions[os.path.basename(directory)] = {
            "damaged": damage(directory, read_json(marker)),
            "unpacked": os.stat(marker).st_mtime,
        }
    link = f"{root}/current"
    current = os.readlink(link) if os.path.islink(link) else None
    return {"root": os.path.realpath(root), "current": current, "versions": versions}


def damage(directory: str, marker: dict[str, Any]) -> str | None:
    """The first file that is not as it was unpacked; None when all are."""
    files: dict[str, Any] = marker.get("files") or {"(list of files)": None}
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


def environment(pid: str) -> dict[str, str]:
    """The environment a process was started with; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def executable(pid: str) -> str | None:
    """The program a process runs; None when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def unit(name: str, shown: dict[str, str], unit_dir: str) -> dict[str, Any]:
    """A unit's files, what systemd makes of them, and what its process was started with."""
    path = f"{unit_dir}/{name}.service"
    drop_in = f"{path}.d/{DROP_IN}"
    pid = shown.get("MainPID", "0")
    started_with = environment(pid) if pid != "0" else {}
    return {
        "file": read(path) if not os.path.islink(path) else None,
        "link": os.readlink(path) if os.path.islink(path) else None,
        "file_owner": owner(path),
        "drop_in": read(drop_in),
        "drop_in_owner": owner(drop_in),
        "load": shown.get("LoadState", ""),
        "foreign": not (read(shown.get("FragmentPath", "")) or MARK).startswith(MARK),
        "enabled": shown.get("UnitFileState", ""),
        "active": shown.get("ActiveState", ""),
        "stale": shown.get("NeedDaemonReload", "no") == "yes",
        "executable": executable(pid) if pid != "0" else None,
        "environment": started_with,
    }


def marked_units(unit_dir: str) -> list[str]:
    """Units that carry our drop-in, whether or not they are still declared."""
    paths = glob.glob(f"{unit_dir}/*.service.d/{DROP_IN}")
    ours = [p for p in paths if (read(p) or "").startswith(MARK)]
    return sorted(os.path.basename(os.path.dirname(p))[: -len(".service.d")] for p in ours)


def stranger(unit_dir: str) -> str | None:
    """Where an `ollama.service` that is not ours comes from; None when there is none, or somebody masked it."""
    for directory in (unit_dir, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        text = read(f"{directory}/ollama.service")
        if text is not None:
            return None if not text or text.startswith(MARK) else f"{directory}/ollama.service"
    return None


def manifests(models_dir: str) -> dict[str, str]:
    """Model name -> path of its manifest."""
    root = f"{models_dir}/manifests/"
    found = {}
    for path in glob.glob(f"{root}*/*/*/*"):
        registry, namespace, model, tag = path[len(root) :].split("/")
        prefix = "" if registry == "registry.ollama.ai" else f"{registry}/"
        prefix += "" if (registry, namespace) == ("registry.ollama.ai", "library") else f"{namespace}/"
        found[f"{prefix}{model}:{tag}"] = path
    return found


def blob_state(path: str, layer: dict[str, Any], known: dict[str, Any]) -> tuple[str, list[int]]:
    """`known`, `new`, `missing` or `corrupt`, and the fingerprint. What was hashed once is not, until it changes."""
    try:
        now = fingerprint(path)
    except OSError:
        return "missing", []
    if now[0] != layer.get("size"):
        return "corrupt", now
    if known.get(layer["digest"]) == now:
        return "known", now
    return "new" if "sha256:" + sha256(path) == layer["digest"] else "corrupt", now


def model(path: str, models_dir: str, known: dict[str, Any]) -> dict[str, Any]:
    """A model in the store: digests of its manifest and weights, which blobs are broken, which not yet recorded."""
    manifest = read_json(path)
    layers = [x for x in [*(manifest.get("layers") or []), manifest.get("config")] if x and x.get("digest")]
    broken: dict[str, str] = {}
    new: dict[str, list[int]] = {}
    for layer in layers:
        found, now = blob_state(f"{models_dir}/blobs/{layer['digest'].replace(':', '-')}", layer, known)
        if found == "new":
            new[layer["digest"]] = now
        elif found != "known":
            broken[layer["digest"]] = found
    if not layers:
        broken["manifest"] = "corrupt"
    weights = [x["digest"] for x in layers if x.get("mediaType") == "application/vnd.ollama.image.model"]
    return {"manifest": "sha256:" + sha256(path), "weights": weights, "broken": broken, "new": new}


def models(models_dir: str, known: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The models of these names, and the names alone of all others."""
    found = manifests(models_dir)
    return {n: model(path, models_dir, known) if n in names else None for n, path in found.items()}


def foreign_files(models_dir: str, name: str) -> str | None:
    """One path in the store that does not belong to the service's user; None when all do."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
    for directory, _, files in os.walk(models_dir):
        for path in [directory, *(os.path.join(directory, file) for file in files)]:
            # A file may go away while Ollama works.
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(path).st_uid != uid:
                    return path
    return None


def loaded(address: str) -> dict[str, Any] | None:
    """The models in an instance's memory with their sizes in bytes; None where it does not answer."""
    answer = get(address, "/api/ps")
    if answer is None:
        return None
    return {m["name"]: {"size": m["size"], "size_vram": m["size_vram"]} for m in answer["models"]}


def containers(ask: dict[str, Any]) -> list[str]:
    """Names of our containers: each has a unit and a file of environment, and one that lost either is ours still."""
    files = [os.path.basename(path) for path in glob.glob(f"{ask['environment_dir']}/*.env")]
    return sorted({*(name[: -len(".env")] for name in files), *container_units(ask["unit_dir"])})


def gateway_units(unit_dir: str) -> list[str]:
    """Units of a gateway of ours, whether or not it is still declared."""
    paths = glob.glob(f"{unit_dir}/inferfleet-gateway*.service") + glob.glob(f"{unit_dir}/inferfleet-prober.service")
    return sorted(os.path.basename(path) for path in paths if (read(path) or "").startswith(MARK))


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    record = read_record(ask["record"])
    ours = marked_units(ask["unit_dir"])
    names = sorted(set(ask["units"]) | set(ours))
    shown = systemctl_show(names)
    state = {
        "root": os.geteuid() == 0,
        "user": user(ask["user"]),
        "directories": {path: owner(path) for path in (ask["home"], ask["models_dir"])},
        "misowned": foreign_files(ask["models_dir"], ask["user"]),
        "release": release(ask["root"]),
        "units": {name: unit(name, shown.get(name, {}), ask["unit_dir"]) for name in names},
        "ours": ours,
        "away": not_ours([address.rpartition(":")[0].strip("[]") for address in ask["addresses"].values()]),
        "containers": containers(ask),
        "gateway": gateway_units(ask["unit_dir"]),
        "stranger": stranger(ask["unit_dir"]),
        "models": models(ask["models_dir"], record["blobs"], ask["models"]),
        "record": record,
        "loaded": {name: loaded(address) for name, address in ask["addresses"].items()},
        "version": {name: (get(a, "/api/version") or {}).get("version") for name, a in ask["addresses"].items()},
    }
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"ollama: {error}")
