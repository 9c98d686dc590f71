"""Base roots: the file system of a bare Debian server, made once per suite and kept.

A root is built beside its final name and renamed when complete, so what has the final name is
whole, even after kill -9. The build runs in its own mount and pid namespaces and dies with the
builder: nothing stays mounted.
"""

import shutil
import subprocess
from pathlib import Path

from inferfleet.errors import LabError
from inferfleet.lab import apt
from inferfleet.lab.aptsource import ARCHIVE, machine_mirror
from inferfleet.lab.paths import bases_dir
from inferfleet.lab.say import Say, quiet
from inferfleet.lab.system import environment, locked, run, tail

SUITES = ("trixie", "bookworm")
RECIPE = 2
"""Raise it whenever what `build` makes changes: the next lab then builds new roots."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEPLOY_UID = 1000

# What a minimal Debian cloud image has; no docker, no curl, no gpg.
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "openssh-server",
    "sudo",
    "ca-certificates",
    "iproute2",
    "iputils-ping",
    "procps",
    "kmod",
    "netbase",
    "less",
    "nftables",
    "python3",
]

# They look for hardware, for names or for work that a lab host does not have, and only slow its boot.
MASKED = [
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-modules-load.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "getty@tty1.service",
    "e2scrub_reap.service",
]

_FINISH = """set -e
umask 022
mount -t proc proc /proc
useradd --uid {uid} --create-home --shell /bin/bash deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy
chmod 440 /etc/sudoers.d/deploy
systemctl --quiet enable systemd-networkd ssh
systemctl --quiet mask {masked}
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf
: > /etc/machine-id
: > /etc/apt/sources.list
"""

_PHASES = {"Retrieving": "fetching packages", "Extracting": "unpacking", "Configuring": "configuring packages"}


def base_path(suite: str) -> Path:
    """Where the finished root of a suite is, or will be."""
    return bases_dir() / f"{suite}-{RECIPE}"


def base_root(suite: str, say: Say = quiet) -> Path:
    """The finished root of a suite; built first where it is missing (one to two minutes).

    Raises:
        LabError: the suite is not known, or debootstrap failed.
    """
    if suite not in SUITES:
        raise LabError(f"suite: not one the lab can make (got {suite!r})", f"use {' or '.join(SUITES)}")
    path = base_path(suite)
    if not path.exists():
        with locked(bases_dir() / f"{suite}.lock"):
            if not path.exists():
                _build(suite, path, say)
    return path


def _build(suite: str, path: Path, say: Say) -> None:
    part = path.with_name(f"{path.name}.part")
    log = path.with_name(f"{path.name}.log")
    shutil.rmtree(part, ignore_errors=True)
    log.unlink(missing_ok=True)
    quick = part / "etc/dpkg/dpkg.cfg.d/unsafe-io"  # no sync after each file: what is cut short is never used
    quick.parent.mkdir(parents=True)
    quick.write_text("force-unsafe-io\n")
    say(f"{suite}: making the base root, once")
    with apt.temporary_proxy(machine_mirror(), log) as proxy:
        include = f"--include={','.join(PACKAGES)}"
        options = ["--variant=minbase", f"--keyring={KEYRING}", include]
        _contained(["debootstrap", *options, suite, str(part), ARCHIVE, script(suite)], proxy, log, suite, say)
    finish = _FINISH.format(uid=DEPLOY_UID, masked=" ".join(MASKED))
    _contained(["chroot", str(part), "sh", "-c", finish], "", log, suite, say)
    quick.unlink()
    sources = part / "etc/apt/sources.list.d/debian.sources"
    sources.write_text(apt.sources(suite))
    sources.chmod(0o644)
    run(["sync", "--file-system", part])  # or a power failure could leave a whole name with holes in it
    part.rename(path)
    say(f"{suite}: base root ready")


def script(suite: str) -> str:
    """The script for debootstrap; that of sid where this debootstrap is older than the suite."""
    scripts = Path("/usr/share/debootstrap/scripts")
    return str(scripts / suite if (scripts / suite).exists() else scripts / "sid")


def _contained(argv: list[str], proxy: str, log: Path, suite: str, say: Say) -> None:
    """Run a step of the build in namespaces that end with us; report its phases."""
    cage = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    env = environment(http_proxy=proxy, no_proxy="", DEBIAN_FRONTEND="noninteractive")
    with log.open("a") as out:
        step = subprocess.Popen(
            [*cage, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )
        phase = ""
        for line in step.stdout or ():
            out.write(line)
            word = line.removeprefix("I: ").split(" ", 1)[0]
            if word in _PHASES and word != phase:
                phase = word
                say(f"{suite}: {_PHASES[word]}")
    if step.wait() != 0:
        raise LabError(f"{suite}: {argv[0]} failed (exit status {step.returncode}): {tail(log)}", f"read {log}")
