"""A signed apt source and packages at given versions; a part of scripts that install.

A source is {"key_url", "fingerprints", "keyring", "path", "text"}: where the key is fetched from, whose keys it may
hold, where key (binary) and source (deb822) are written. Everything can be done again; killed anywhere, the next run
ends in the same place.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn

from inferfleet.remote.apt_state import conflicting, filled, key_in, output, release, text_of
from inferfleet.remote.files import write_file
from inferfleet.remote.openpgp import dearmoured, fingerprints

KEY_LIMIT = 1 << 20
LOCK_TRIES, LOCK_PAUSE_S = 60, 5
# Without needrestart's restarts (Ubuntu): it takes any service whose libraries changed at some time, engines too.
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C"}
# dpkg asks about a settings file that both the host and the new package have changed, and has nobody to ask: it would
# leave the package half installed (dpkg(1), --force-confold). The host's stays.
KEEP_SETTINGS = ("--force-confdef", "--force-confold")


def fail(text: str) -> NoReturn:
    """End with one line for the user."""
    sys.exit(text)


def say(text: str) -> None:
    """One line for the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def bring_source(source: dict[str, Any], replace: bool = False) -> None:
    """The key is there and its lists are read; where they cannot be, key and source are as they were.

    Args:
        source: see above.
        replace: files that name the same repository with another key are set aside (`.disabled`).
    """
    before = {path: _bytes_of(path) for path in (source["keyring"], source["path"])}
    key = None if _key_is_right(source, key_in(source["keyring"])) else fetch_key(source)
    set_aside = _set_aside(conflicting(source["path"], source["text"])) if replace else []
    try:
        if key is not None:
            write_file(source["keyring"], key)
        if text_of(source["path"]) != source["text"]:
            write_file(source["path"], source["text"])
        read_lists(source)
    except SystemExit:
        for path, data in before.items():
            _put_back(path, data)
        for path in set_aside:
            os.replace(f"{path}.disabled", path)
        raise


def _bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _put_back(path: str, data: bytes | None) -> None:
    if data is not None:
        write_file(path, data)
    elif os.path.lexists(path):
        os.remove(path)


def _set_aside(paths: list[str]) -> list[str]:
    """They keep their text under a name that apt passes over without a word (`Dir::Ignore-Files-Silently`)."""
    for path in paths:
        os.replace(path, f"{path}.disabled")
        say(f"{path} is set aside as {path}.disabled")
    return paths


def remove_source(path: str, keyring: str) -> None:
    """Source and key are gone."""
    for gone in (path, keyring):
        with contextlib.suppress(FileNotFoundError):
            os.remove(gone)


def _expected(source: dict[str, Any]) -> list[str]:
    return [fingerprint.replace(" ", "").upper() for fingerprint in source["fingerprints"]]


def _key_is_right(source: dict[str, Any], found: list[str] | None) -> bool:
    return bool(found) and set(found or ()) <= set(_expected(source))


def fetch_key(source: dict[str, Any]) -> bytes:
    """The key in binary; ends where one of its keys is not an expected one."""
    url = source["key_url"]
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            data = answer.read(KEY_LIMIT)
    except urllib.error.HTTPError as error:
        fail(f"key {url} answers {error.code} {error.reason}; check `sources`")
    except (OSError, ValueError, http.client.HTTPException) as error:
        fail(f"key {url} cannot be reached: {getattr(error, 'reason', error)!s}; check `sources`")
    try:
        key = dearmoured(data)
        found = fingerprints(key)
    except ValueError as error:
        fail(f"key {url} cannot be used: {error}; check `sources`")
    strange = [fingerprint for fingerprint in found if fingerprint not in _expected(source)]
    if strange:
        fail(
            f"key {url} has fingerprint {', '.join(strange)}, expected is {', '.join(_expected(source))}; nothing was "
            "changed: ask its owner which is right, and then declare that one in `sources`"
        )
    return key


def apt(*words: str) -> subprocess.CompletedProcess[str]:
    """Run apt-get without questions."""
    keep = [word for option in KEEP_SETTINGS for word in ("-o", f"Dpkg::Options::={option}")]
    command = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300", *keep, *words]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=dict(os.environ, **APT_ENVIRONMENT),
    )


def apt_words(said: str) -> str:
    """The first error of what was said, or its end."""
    lines = said.strip().splitlines() or ["no message"]
    return next((line for line in lines if line.startswith("E:")), lines[-1])


def update(*options: str) -> str:
    """Fetch lists; empty, or what apt says against it. Whoever holds the lists is waited for, five minutes at most.

    `DPkg::Lock::Timeout` is not for that lock; without Error-Mode a list that cannot be fetched is no error (apt 2.6).
    """
    for tries in range(LOCK_TRIES):
        done = apt("-o", "APT::Update::Error-Mode=any", *options, "update")
        if done.returncode and "Could not get lock" in done.stdout:
            if not tries:
                say("waiting for another apt on this host")
            time.sleep(LOCK_PAUSE_S)
            continue
        break
    return apt_words(done.stdout) if done.returncode else ""


def read_lists(source: dict[str, Any]) -> None:
    """The lists of this source alone are fetched and their signature is checked."""
    alone = [f"Dir::Etc::sourcelist={source['path']}", "Dir::Etc::sourceparts=-", "APT::Get::List-Cleanup=0"]
    wrong = update(*(word for option in alone for word in ("-o", option)))
    if wrong:
        fail(f"apt-get update of {source['path']}: {wrong}")


def same_version(full: str, wanted: str) -> bool:
    """Whether a package's version is the wanted one: all of it, or its upstream part (`28.2.2`)."""
    return full == wanted or re.sub(r"^\d+:", "", full).split("-")[0].split("+")[0] == wanted


def versions_of(name: str) -> list[str]:
    """The versions that this host's sources have, newest first."""
    rows = [line.split("|") for line in output("apt-cache", "madison", name).splitlines()]
    return list(dict.fromkeys(row[1].strip() for row in rows if len(row) == 3))


def full_version(name: str, wanted: str) -> str:
    """The package version that a wanted one means; ends where no source has it."""
    for again in (False, True):
        stale = update() if again else ""
        there = versions_of(name)
        for version in there:
            if same_version(version, wanted):
                return version
    have = f"there are {', '.join(there[:8])}" if there else stale or "there are none"
    fail(f"no source of this host has {name} {wanted}: {have}")


def install(wanted: dict[str, str | None], remove: tuple[str, ...] | list[str] = ()) -> None:
    """These packages are installed, each at its version where one is given; no others go than those named.

    apt lets go of a held package that it installs at another version: hold all of them afterwards.

    Args:
        wanted: name -> version, as full as the source has it; None for whatever apt takes.
        remove: packages that go in the same step.
    """
    words = [f"{name}={version}" if version else name for name, version in wanted.items()]
    # A hold, and the order of versions, are there against accidents: a pin is none.
    pinned = ["--allow-change-held-packages", "--allow-downgrades"] if any(wanted.values()) or remove else []
    kept = [] if remove else ["--no-remove"]
    # An installation that was cut off is ended first; apt refuses to go on without.
    configure, environment = ["dpkg", *KEEP_SETTINGS, "--configure", "-a"], dict(os.environ, **APT_ENVIRONMENT)
    pipe = subprocess.PIPE
    subprocess.run(configure, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, env=environment)
    command = ["--no-install-recommends", "install", "-y", *pinned, *kept, *words, *(f"{name}-" for name in remove)]
    done = apt(*command)
    if done.returncode:
        # Lists from long ago name what is no longer there; one that cannot be fetched is told of only if this fails.
        stale = update()
        done = apt(*command)
        if done.returncode:
            fail(f"apt-get: {stale or apt_words(done.stdout)}")


def hold(names: list[str]) -> None:
    """No upgrade takes these packages along."""
    done = subprocess.run(["apt-mark", "hold", *names], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        fail(f"apt-mark hold: {apt_words(done.stdout)}")


def bring_packages(work: dict[str, Any]) -> None:
    """Source, packages at their versions, and holds.

    Args:
        work: `source` (in its texts `{distribution}`, `{suite}` and `{arch}` are the host's; None for none), `bring`
            (whether it is looked after), `stale_source` (path and key of one that goes), `replace`, `install`
            (name -> version, upstream or whole, None for any), `optional` (names that some suites lack), `remove`,
            `hold`.
    """
    host = release()
    if work["stale_source"]:
        remove_source(*work["stale_source"])
    if work["bring"]:
        source = {key: filled(v, host) if isinstance(v, str) else v for key, v in work["source"].items()}
        bring_source(source, work["replace"])
    absent = [name for name in work["optional"] if name in work["install"] and not versions_of(name)]
    wanted = {name: version for name, version in work["install"].items() if name not in absent}
    if wanted or work["remove"]:
        install({name: full_version(name, v) if v else None for name, v in wanted.items()}, work["remove"])
        say(", ".join([f"{name} installed" for name in wanted] + [f"{name} removed" for name in work["remove"]]))
    if held := [name for name in work["hold"] if name not in absent]:
        hold(held)
