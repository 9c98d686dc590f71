"""Make the service's user, its home and the models directory, and give the store to that user.

Told {"user", "home", "models_dir"}. The same names and places as upstream's installer (install.sh, 0.32).
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from typing import Any


def group_exists(name: str) -> bool:
    """Whether the host knows a group of that name."""
    try:
        grp.getgrnam(name)
        return True
    except KeyError:
        return False


def make_user(name: str, home: str) -> None:
    """The user exists, and may open the cards' device nodes."""
    groups = ",".join(group for group in ("render", "video") if group_exists(group))
    own = ["-g", name] if group_exists(name) else ["-U"]
    try:
        pwd.getpwnam(name)
        command = ["usermod", "-a", "-G", groups, name] if groups else ["true"]
    except KeyError:
        command = ["useradd", "-r", "-s", "/bin/false", "-d", home, *own, *(["-G", groups] if groups else []), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"ollama account: {command[0]} {name}: {' '.join(done.stdout.split()) or done.returncode}")


def give(path: str, entry: pwd.struct_passwd) -> None:
    """The path itself, and not what a link points at, belongs to the user and its group."""
    os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def refuse_link(path: str, entry: pwd.struct_passwd) -> None:
    """A link to somebody else's directory is not followed: the service's user could make one to /etc."""
    real = os.path.realpath(path)
    if os.path.islink(path) and os.stat(path).st_uid != entry.pw_uid:
        ask = f"declare {real} itself, or give it away with `chown {entry.pw_name}: {real}`"
        sys.exit(f"ollama account: {path} is a link to {real}, which belongs to another user; {ask}")


def main(work: dict[str, Any]) -> None:
    """Bring it about; what is so already stays as it is."""
    os.umask(0o022)  # a hardened host's 077 would shut the service's user out of what root makes
    make_user(work["user"], work["home"])
    entry = pwd.getpwnam(work["user"])
    for path in (work["home"], work["models_dir"]):
        os.makedirs(path, mode=0o755, exist_ok=True)
        refuse_link(path, entry)
        give(path, entry)
        os.chmod(path, os.stat(path).st_mode & 0o777 | 0o755)
    parent = os.path.dirname(work["models_dir"])
    if parent.startswith(work["home"] + "/"):
        give(parent, entry)
    for directory, directories, files in os.walk(work["models_dir"]):
        for name in directories + files:
            give(os.path.join(directory, name), entry)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as problem:
        sys.exit(f"ollama account: {problem}")
