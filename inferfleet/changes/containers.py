"""The instances' containers: units, environment files, and whether each running container is the declared one."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from inferfleet.changes.base import Changes, Effect, FileChange, on_no_interface
from inferfleet.engines import ollama
from inferfleet.engines.container_host import LABEL, USER_PLACE, Container
from inferfleet.engines.ollama_host import ENVIRONMENT_DIR, UNIT_DIR, OllamaHost

_UNIT_FILE = {"owner": "root", "mode": "644"}
_SECRET_FILE = {"owner": "root", "mode": "600"}
# `docker run` adds these where root's own `~/.docker/config.json` has `proxies` (docker/cli, `ParseProxyConfig`).
_OF_CLIENT = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def containers_gone(declared: OllamaHost, state: dict[str, Any]) -> Changes:
    """No container of ours is there that is not declared."""
    gone = [name for name in state.get("containers", []) if name not in declared.containers]
    services = [service.name for service in declared.services]
    why = {name: "is to run natively" if name in services else "is no longer declared" for name in gone}
    found = tuple(Effect("remove", f"container {name}", why[name], interrupts=True) for name in gone)
    return Changes(found, {"remove": gone, "unit_dir": UNIT_DIR, "environment_dir": ENVIRONMENT_DIR})


def containers(declared: Sequence[Container], state: dict[str, Any]) -> Changes:
    """Each container's unit is as declared, enabled, and runs what is declared.

    A host where a name or a port is another program's is refused, and nothing of the other is touched.
    """
    if refused := dict.fromkeys(why for container in declared if (why := _why_refused(container, state))):
        return Changes(tuple(Effect("refuse", "this host", why) for why in refused))
    effects: list[Effect] = []
    files: list[FileChange] = []
    restart: list[Container] = []
    for container in declared:
        found = state.get("units", {}).get(container.name, {})
        changed = _files(container, found, state.get("user"))
        files += changed
        effects += [Effect("write", change.path, _why_written(change)) for change in changed]
        effects += _enablement(container, found)
        if reason := _why_restart(container, found, state):
            restart.append(container)
            running = container.name in _running(state)
            effects.append(Effect("restart" if running else "start", container.name, reason, interrupts=running))
    return Changes(tuple(effects), _work(declared, restart), tuple(files), tuple(_shuffled(declared, state)))


def _shuffled(declared: Sequence[Container], state: dict[str, Any]) -> Iterator[str]:
    """The one cause, where several containers get each other's cards."""
    running = {name: found["devices"] for name, found in state.get("containers", {}).items() if found["running"]}
    others = [c for c in declared if c.name in running and set(running[c.name]) != set(c.devices)]
    had = sorted(device for container in others for device in running[container.name])
    if len(others) > 1 and had == sorted(device for container in others for device in container.devices):
        names = ", ".join(container.name for container in others)
        yield f"the host's cards have changed places, so {names} get each other's; give cards a `uuid` to keep them"


def _why_refused(container: Container, state: dict[str, Any]) -> str:
    name = container.name
    found = state.get("containers", {}).get(name)
    if found and not found["ours"]:
        return f"a container called {name} is another program's; give the instance another `name`, or remove it"
    if state.get("units", {}).get(name, {}).get("foreign"):
        return f"{name}.service is another program's; give the instance another `name`"
    if who := state.get("ports", {}).get(str(container.port)):
        return f"port {container.port} of {name} is taken by {who}; give the instance another `port`, or stop that"
    return on_no_interface(container.address, state)


def _files(container: Container, found: dict[str, Any], user: str | None) -> list[FileChange]:
    """The unit, and the environment, of which a diff does not show what is the user's own."""
    changed = []
    unit = container.unit.replace(USER_PLACE, user or ollama.USER)
    if found.get("file") != unit or found.get("file_owner") != _UNIT_FILE:
        changed.append(FileChange(container.unit_path, found.get("file"), unit))
    environment = found.get("environment")
    if environment != container.environment or found.get("environment_owner") != _SECRET_FILE:
        before = None if environment is None else _shown(environment)
        changed.append(FileChange(container.environment_path, before, _shown(container.environment, environment)))
    return changed


def _shown(environment: str, before: str | None = None) -> str:
    """A file of variables as a diff may show it: of what is the user's own, the names and whether it changed."""
    shown = []
    for line in environment.splitlines():
        name, _, _ = line.partition("=")
        is_new = before is not None and line not in before.splitlines()
        hidden = f"{name}=(not shown{', another one' if is_new else ''})" if "=" in line else "(not shown)"
        shown.append(line if ollama.is_setting(name) else hidden)
    return "\n".join([*shown, ""])


def _why_written(change: FileChange) -> str:
    if change.before is None:
        return "is missing"
    return "owner or mode is wrong" if change.before == change.after else "differs from what is declared"


def _enablement(container: Container, found: dict[str, Any]) -> list[Effect]:
    if "masked" in (found.get("enabled", ""), found.get("load", "")):
        return [Effect("repair", container.name, "is masked")]
    if found.get("enabled") != "enabled":
        return [Effect("enable", container.name, "does not start at boot")]
    if found.get("stale"):
        return [Effect("repair", container.name, "systemd has not read its files since they changed")]
    return []


def _running(state: dict[str, Any]) -> list[str]:
    return [name for name, found in state.get("containers", {}).items() if found["running"]]


def _why_restart(container: Container, found: dict[str, Any], state: dict[str, Any]) -> str:
    """Why the container must be made anew; empty when the running one is the declared one."""
    running = state.get("containers", {}).get(container.name)
    if found.get("active") != "active":
        return f"is {found.get('active') or 'missing'}"
    if not running or not running["running"]:
        return "its container does not run"
    if otherwise := started_otherwise(container, state):
        return otherwise
    answers = state.get("version", {}).get(container.name)
    if answers != container.version:
        return f"answers as {answers}" if answers else f"does not answer at {container.address}"
    return ""


def started_otherwise(container: Container, state: dict[str, Any]) -> str:
    """How the running container was started, where not as declared; it, and not the files that it was started from.

    Raises:
        LookupError: it does not run.
    """
    unit, running = state["units"][container.name], state["containers"][container.name]
    if differs := _what_differs(container, running) or _other_command(container, unit, running, state.get("user")):
        return f"was started with {differs}"
    image = (state.get("images", {}).get("found") or {}).get(container.image.runs)
    if image and image["id"] != running["image"]:
        return f"runs image {running['image'][:19]}, declared is {image['id'][:19]}"
    if running["spec"] == container.digest:
        return ""
    if running["reference"] != container.image.runs:
        return f"was started from {running['reference']}, declared is {container.image.name}"
    return "was started under another unit than the declared one"


def _what_differs(container: Container, running: dict[str, Any]) -> str:
    """The first difference in cards or environment.

    The label tells of a changed unit alone: whoever restarts it with another file of environment gets the same label.
    """
    if set(running["devices"]) != set(container.devices):
        had = ", ".join(running["devices"]) or "no card"
        return f"{had}, declared is {', '.join(container.devices) or 'no card'}"
    for line in container.environment.splitlines():
        name, _, value = line.partition("=")
        got = running["environment"].get(name)
        if got != value:
            return ollama.different(name, got, value)
    more = _more(container, running)
    return f"{min(more)}, which is not declared" if more else ""


def _more(container: Container, running: dict[str, Any]) -> set[str]:
    """Names of variables that are neither declared nor the image's."""
    if running["of_image"] is None:
        return set()
    declared = {line.partition("=")[0] for line in container.environment.splitlines()}
    own = {name for name, value in running["environment"].items() if running["of_image"].get(name) != value}
    return {name for name in own - declared if name.upper() not in _OF_CLIENT}


def _other_command(container: Container, found: dict[str, Any], running: dict[str, Any], user: str | None) -> str:
    """The first word of `docker run` that is another; an image is told by its ID, wherever it was pulled from."""
    wanted = _told([word.replace(USER_PLACE, user or "") for word in container.command], container.image.runs)
    words = _told(found.get("command", []), running["reference"])
    if words == wanted:
        return ""
    got, want = next(pair for pair in zip_longest(words, wanted, fillvalue="nothing") if pair[0] != pair[1])
    return f"{got} where {want} is declared"


def _told(words: Sequence[str], image: str) -> list[str]:
    """The words that are no digest of the others, and not where the image was pulled from."""
    return [word for word in words if word != image and not word.startswith(f"{LABEL}.spec=")]


def _work(declared: Sequence[Container], restart: Sequence[Container]) -> dict[str, Any]:
    return {
        "user": ollama.USER,
        "user_place": USER_PLACE,
        "unit_dir": UNIT_DIR,
        "units": {c.name: [c.unit_path, c.unit, c.environment_path, c.environment] for c in declared},
        "restart": [[c.name, c.address, c.version, c.digest] for c in restart],
    }
