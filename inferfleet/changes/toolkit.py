"""The NVIDIA Container Toolkit: its packages, and whether a container is given the card that it names."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from inferfleet.changes.base import Changes, Effect
from inferfleet.engines.toolkit_host import PACKAGES, REFRESH_UNITS, SOURCE_FILE, ToolkitHost

# Where 1.18 and newer write (nvidia-cdi-refresh.service); older versions write where they are told, and a file in
# /var/run would be gone after a reboot.
FRESH_OUTPUT, KEPT_OUTPUT = "/var/run/cdi/nvidia.yaml", "/etc/cdi/nvidia.yaml"
_ELSEWHERE = "{} names {} too and was not written by nvidia-ctk; move it away, or take the card out of it"


def toolkit(declared: ToolkitHost, state: Mapping[str, Any]) -> Changes:
    """The four packages are as declared and held; the CDI specification names the cards that are there, for Docker.

    A host is refused where another's file names the same cards, or where its driver does not show a declared one.
    """
    output = _output(declared, state)
    if reason := _why_refused(declared, state, output):
        return Changes((Effect("refuse", "this host", reason),))
    packages = _packages(declared, state.get("apt") or {})
    gone = _generated_elsewhere(state, output)
    stale = _why_stale(state.get("specs", {}).get(output), state.get("fresh"))
    source = _source(declared, state)
    effects = [*source, *packages, *_units(declared, state)]
    effects += [Effect("remove", path, f"is an old copy beside {output}; it goes stale") for path in gone]
    if stale:
        effects.append(Effect("write", output, stale))
    work = _work(declared, packages, output, gone, bool(stale))
    # Its lists are read anew only for what is missing: a site without its mirror can still have cards swapped.
    work = work if source or work["packages"] else {**work, "source": None}
    return Changes(tuple(effects), work, warnings=tuple(_warnings(state)))


def _warnings(state: Mapping[str, Any]) -> Iterator[str]:
    """What is not ours to change and should not stay so."""
    runtime = (state.get("docker") or {}).get("default_runtime")
    if runtime not in (None, "", "runc", "crun"):
        yield (
            f"Docker's default runtime is {runtime}: every container may see every card, whatever it is given; "
            'take "default-runtime" out of /etc/docker/daemon.json'
        )


def _output(declared: ToolkitHost, state: Mapping[str, Any]) -> str:
    """Where the specification is."""
    return (state.get("output") or FRESH_OUTPUT) if declared.refreshes else KEPT_OUTPUT


def _why_refused(declared: ToolkitHost, state: Mapping[str, Any], output: str) -> str:
    apt = state.get("apt", {})
    if apt is None:
        return "has no dpkg; the NVIDIA Container Toolkit is brought to Debian and Ubuntu alone"
    for path in (apt.get("source") or {}).get("mixed", []):
        return f"{path} names NVIDIA's repository with another key, and others beside it; take that entry out"
    fresh = state.get("fresh") or {}
    as_declared = not _packages(declared, apt)
    if as_declared and (error := fresh.get("error")):
        return f"nvidia-ctk cannot read the cards: {error}; nvidia-smi must show them first"
    if as_declared and fresh:
        for name in declared.devices:
            if name not in fresh["devices"]:
                have = ", ".join(_cards(fresh)) or "no card"
                sliced = ", where a card in MIG mode goes by its slices" if "MIG-" in have else ""
                return f"card {name} is declared, nvidia-ctk finds {have}; correct the inventory{sliced}"
    return _why_strange(declared, state, output) or _why_unseen(declared, state, output)


def _why_strange(declared: ToolkitHost, state: Mapping[str, Any], output: str) -> str:
    """Another's file that names our cards."""
    names = {*declared.devices, *(state.get("fresh") or {}).get("devices", {})}
    for path, spec in state.get("specs", {}).items():
        if "error" in spec and path != output:
            return f"{path} is about NVIDIA cards and cannot be read ({spec['error']}); move it away"
        if path in (output, *_generated_elsewhere(state, output)) or "error" in spec:
            continue
        if shared := sorted(names & spec["devices"].keys(), key=lambda name: (name not in declared.devices, name)):
            return _ELSEWHERE.format(path, f"nvidia.com/gpu={shared[0]}")
    spec = state.get("specs", {}).get(output, {})
    if output == KEPT_OUTPUT and "error" not in spec and not (spec.get("ours", True) or spec.get("generated")):
        return f"{output} was not written by nvidia-ctk; move it away"
    return ""


def _why_unseen(declared: ToolkitHost, state: Mapping[str, Any], output: str) -> str:
    """Why Docker does not see a specification that is as it must be. Whether it has CDI on is `docker`'s matter."""
    docker = state.get("docker") or {}
    directories = docker.get("directories")
    if not directories:
        return ""
    where = posixpath.dirname(output)
    if _real(where) not in map(_real, directories):
        have = ", ".join(directories)
        return f'Docker looks for CDI specifications in {have} only; add {where} to "cdi-spec-dirs" in daemon.json'
    if docker.get("discovered") is None or _why_stale(state.get("specs", {}).get(output), state.get("fresh")):
        return ""
    for name in declared.devices:
        if f"nvidia.com/gpu={name}" not in docker["discovered"]:
            return f"Docker does not see nvidia.com/gpu={name}, which {output} names; journalctl -u docker says why"
    return ""


def _real(path: str) -> str:
    return re.sub(r"^/var/run(?=/|$)", "/run", path.rstrip("/"))


def _generated_elsewhere(state: Mapping[str, Any], output: str) -> list[str]:
    """Files of ours, or of nvidia-ctk alone, beside the one that is kept fresh."""
    specs = state.get("specs", {}).items()
    return [path for path, spec in specs if path != output and (spec.get("ours") or spec.get("generated"))]


def _source(declared: ToolkitHost, state: Mapping[str, Any]) -> list[Effect]:
    found = (state.get("apt") or {}).get("source") or {}
    effects = [
        Effect("remove", path, f"names NVIDIA's repository with another key; it is kept as {path}.disabled")
        for path in found.get("conflicts", [])
    ]
    if found.get("text") != declared.apt_source["text"]:
        why = "is missing" if found.get("text") is None else "differs from what is declared"
        effects.append(Effect("write", SOURCE_FILE, why))
    elif set(found.get("key") or ()) != {declared.fingerprint}:
        effects.append(Effect("repair", SOURCE_FILE, "its key is not the declared one"))
    return effects


def _packages(declared: ToolkitHost, apt: Mapping[str, Any]) -> list[Effect]:
    installed, held = apt.get("installed", {}), apt.get("held", [])
    effects = []
    for name in PACKAGES:
        version = installed.get(name)
        if version is None:
            effects.append(Effect("install", f"{name} {declared.version}", "is missing"))
        elif version.partition("-")[0] != declared.version:
            effects.append(Effect("install", f"{name} {declared.version}", f"is {version}"))
        elif name not in held:
            effects.append(Effect("repair", name, "is not held at its version"))
    return effects


def _units(declared: ToolkitHost, state: Mapping[str, Any]) -> list[Effect]:
    effects = []
    # Before the packages are there, their units are not; installing brings and enables them.
    if "nvidia-container-toolkit-base" not in (state.get("apt") or {}).get("installed", {}):
        return []
    for name in declared.units:
        found = state.get("units", {}).get(name, {})
        if "masked" in (found.get("load"), found.get("enabled")):
            effects.append(Effect("repair", name, "is masked"))
        elif found.get("enabled") != "enabled":
            effects.append(Effect("enable", name, "does not start at boot"))
        elif name == REFRESH_UNITS[0] and found.get("active") != "active":
            effects.append(Effect("start", name, f"is {found.get('active') or 'missing'}"))
    return effects


def _cards(spec: Mapping[str, Any]) -> list[str]:
    """The cards' UUIDs in a specification; their other names where it has none."""
    names = sorted(name for name in spec["devices"] if name != "all")
    return [name for name in names if name.startswith(("GPU-", "MIG-"))] or names


def _why_stale(spec: Mapping[str, Any] | None, fresh: Mapping[str, Any] | None) -> str:
    """Why the specification must be written anew; empty when it says what nvidia-ctk would say now."""
    if spec is None:
        return "is missing"
    if "error" in spec:
        return f"cannot be read: {spec['error']}"
    if fresh is None or "error" in fresh:
        return ""
    if spec["driver"] != fresh["driver"]:
        return f"mounts driver {spec['driver']}, installed is {fresh['driver']}"
    before, now = _cards(spec), _cards(fresh)
    if gone := [name for name in before if name not in now]:
        return f"names {', '.join(gone)}, which nvidia-ctk does not find now"
    if new := [name for name in now if name not in before]:
        return f"does not name {', '.join(new)}"
    for name in now:
        there, wanted = spec["devices"][name]["nodes"], fresh["devices"][name]["nodes"]
        if there != wanted:
            return f"gives {' '.join(there)} as {name}, which is {' '.join(wanted)} now"
    same = (spec["devices"], spec["common"]) == (fresh["devices"], fresh["common"])
    return "" if same else "differs from what nvidia-ctk says now"


def _work(declared: ToolkitHost, packages: list[Effect], output: str, gone: list[str], stale: bool) -> dict[str, Any]:
    installs = any(effect.kind == "install" for effect in packages)
    return {
        "proxy": declared.proxy,
        "source": declared.apt_source,
        "packages": dict.fromkeys(PACKAGES, declared.version) if installs else {},
        "hold": list(PACKAGES) if packages else [],
        "units": list(declared.units),
        "remove": gone,
        "output": output,
        "refresh": stale or installs,
        "devices": list(declared.devices),
    }
