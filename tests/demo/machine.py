"""A machine as `tools/bootstrap.sh` sees it: only the programs that a test allows, and doubles for some."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

CLONE = Path(__file__).parents[2]
PROGRAMS = """awk bash cat chmod cut date df dirname env find flock grep id kill mkdir mktemp paste realpath rm
sed setpriv sh sha256sum sleep sort tail test touch true uname"""


@dataclass
class Machine:
    """Runs `demo`, `test` or a line of shell after the bootstrap, with the given PATH and environment.

    Attributes:
        home: a directory of its own; the cache lies in it.
        clone: a copy of the scripts and of one small lock.
    """

    home: Path
    clone: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, directory: Path) -> "Machine":
        machine = cls(directory, directory / "clone")
        (directory / "bin").mkdir()
        for name in PROGRAMS.split():
            if found := shutil.which(name):
                (directory / "bin" / name).symlink_to(found)
        machine.double("apt-get", "exit 100").double("python3", f'exec {os.path.realpath(sys.executable)} "$@"')
        shutil.copytree(CLONE / "tools", machine.clone / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        for script in ("demo", "test"):
            shutil.copy2(CLONE / script, machine.clone / script)
        (machine.clone / "requirements").mkdir()
        (machine.clone / "requirements" / "tiny.lock").write_text("# nothing\n")
        machine.env = {"PATH": str(directory / "bin"), "HOME": str(directory), "TERM": "dumb"}
        return machine

    def without(self, *names: str) -> "Machine":
        """These programs are not there."""
        for name in names:
            (self.home / "bin" / name).unlink()
        return self

    def double(self, name: str, script: str) -> "Machine":
        """This program does what `script` says."""
        path = self.home / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
        return self

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a script of the clone, or after `-c` a line of shell that has sourced the bootstrap."""
        if words[0] == "-c":
            words = ("bash", "-c", f"set -euo pipefail; . tools/bootstrap.sh; begin try; {words[1]}")
        return subprocess.Popen(
            words,
            cwd=self.clone,
            env={**self.env, "PYTHONDONTWRITEBYTECODE": "1", **_pip_settings()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        child = self.start(*words)
        out, err = child.communicate(timeout=120)
        return subprocess.CompletedProcess(words, child.returncode, out, err)

    def refusal(self, *words: str) -> str:
        """The one line with which it ends, exit status 1, nothing else said and nothing written."""
        done = self.run(*words)
        assert done.returncode == 1, done
        assert done.stdout == "", done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        assert not (self.home / ".cache").exists()
        return done.stderr.strip()


def _pip_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
