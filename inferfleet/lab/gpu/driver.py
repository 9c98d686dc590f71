"""The driver double as a tree of files, as the real driver's installer leaves them; compiled once and kept.

In the place of NVIDIA's Vulkan driver stands Mesa's software GPU (lavapipe), so that what computes with Vulkan does
compute, and a container without the card has none. The module is open or proprietary, as on a real host.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferfleet.lab.mirror.command import build_run
from inferfleet.lab.mirror.forky import fetch_packages
from inferfleet.lab.mirror.runtime import llama_runtime
from inferfleet.lab.mirror.store import make_once

DRIVER: Final = "580.95.05"
"""The version that hosts are delivered with."""

SOURCES: Final = Path(__file__).parent / "double"
LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_FLAGS: Final = ("-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-Wall", "-Wextra", "-Wno-overlength-strings")
_SHARED: Final = ("-shared", "-fPIC", "-fvisibility=hidden")
_NVML: Final = ("cards.c", "processes.c", "nvml.c", "nvml_state.c", "nvml_mig.c")

# Libraries with nothing in them: name -> the suffix of the link that programs ask for.
_EMPTY: Final = {
    "libnvidia-cfg": "1",
    "libnvidia-ptxjitcompiler": "1",
    "libnvidia-nvvm": "4",
    "libnvidia-opencl": "1",
    "libnvidia-allocator": "1",
    "libnvidia-gpucomp": "",
}
_LICENSES: Final = {True: "Dual MIT/GPL", False: "NVIDIA"}  # as modinfo shows it: open or not
ENABLED: Final = {"gpu-double.service": "sysinit.target", "nvidia-persistenced.service": "multi-user.target"}
FABRIC: Final = {"nvidia-fabricmanager.service": "multi-user.target"}
_DAEMONS: Final = {
    "nvidia-persistenced.service": "nvidia-persistenced",
    "nvidia-fabricmanager.service": "nv-fabricmanager",
}


def programs(cache: Path) -> Path:
    """The compiled parts that no version is in: `libnvidia-ml.so`, `libcuda.so`, `empty.so`, `nvidia-smi`.

    Raises:
        LabError: gcc or the C library's headers are missing.
    """
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    return make_once(cache / "gpu-double" / f"programs-{digest.hexdigest()[:16]}", _compile)


def _compile(part: Path) -> None:
    def gcc(target: str, *words: str) -> None:
        names = [str(SOURCES / word) if word.endswith(".c") else word for word in words]
        build_run("GPU doubles", ["gcc", *_FLAGS, "-o", part / target, *names], hint="apt-get install gcc libc6-dev")

    gcc("libnvidia-ml.so", *_SHARED, "-Wl,-soname,libnvidia-ml.so.1", *_NVML, "-ldl")
    gcc("libcuda.so", *_SHARED, "-Wl,-soname,libcuda.so.1", "cuda.c", "cards.c", "-ldl")
    gcc("empty.so", *_SHARED, "nothing.c")
    # Static, so that it runs in a container with another C library or none.
    gcc("nvidia-smi", "-static", "-s", "-DSTATIC_PROGRAM", "smi.c", "smi_fields.c", "smi_xml.c", *_NVML)


def driver_tree(cache: Path, say: Callable[[str], None], version: str = DRIVER, is_open: bool = True) -> Path:
    """A directory with the files of one driver version, for every host of this machine's kernel.

    Args:
        cache: inferfleet's cache.
        say: is told what takes long.
        version: of the driver.
        is_open: the module is the open one, which fits cards since Turing; else the other, up to Hopper.

    Raises:
        LabError: it cannot be compiled here, or the software GPU cannot be fetched.
    """
    compiled = programs(cache)
    software = llama_runtime(fetch_packages(cache, say), cache, say) / "rt"
    digest = hashlib.sha256(f"{compiled.name} {software.parent.name} {os.uname().release}".encode())
    for path in sorted(path for path in SOURCES.iterdir() if path.is_file() and path.suffix not in (".c", ".h")):
        digest.update(path.read_bytes())
    flavour = "open" if is_open else "proprietary"
    target = cache / "gpu-double" / f"driver-{version}-{flavour}-{digest.hexdigest()[:16]}"
    return make_once(target, lambda part: _make(part, compiled, software, version, is_open))


def _make(part: Path, compiled: Path, software: Path, version: str, is_open: bool) -> None:
    libraries(part, compiled, version)
    vulkan(part, software, version)
    copy(compiled / "nvidia-smi", part / "usr/bin/nvidia-smi", 0o755)
    modules(part / "usr/lib/modules" / os.uname().release / "updates/dkms", version, is_open)
    kernel_side(part)
    for unit in (*ENABLED, *FABRIC):
        daemon(part, unit, version)
    for unit, target in ENABLED.items():
        enable(part, unit, target)


def libraries(part: Path, compiled: Path, version: str) -> None:
    """The libraries of this version and the links to them."""
    named = {"libnvidia-ml": "libnvidia-ml.so", "libcuda": "libcuda.so", **dict.fromkeys(_EMPTY, "empty.so")}
    for name, source in named.items():
        copy(compiled / source, part / LIBRARIES / f"{name}.so.{version}", 0o644)
        if suffix := _EMPTY.get(name, "1"):
            link(part / LIBRARIES / f"{name}.so.{suffix}", f"{name}.so.{version}")
    link(part / LIBRARIES / "libcuda.so", "libcuda.so.1")


def vulkan(part: Path, software: Path, version: str) -> None:
    """The software GPU under the name of NVIDIA's Vulkan driver, and the file that leads the Vulkan loader to it."""
    library = f"libGLX_nvidia.so.{version}"
    copy(software / "lib" / "libvulkan_lvp.so", part / LIBRARIES / library, 0o644)
    link(part / LIBRARIES / "libGLX_nvidia.so.0", library)
    icd = json.loads((software / "lvp_icd.json").read_text())
    icd["ICD"]["library_path"] = f"/{LIBRARIES}/{library}"
    write(part / "usr/share/vulkan/icd.d/nvidia_icd.json", json.dumps(icd, indent=1) + "\n")


def modules(place: Path, version: str, is_open: bool) -> None:
    """The modules of this version and flavour are in a new directory."""
    place.mkdir(parents=True)
    macros = [f'-DDRIVER_VERSION="{version}"', f'-DMODULE_LICENSE="{_LICENSES[is_open]}"']
    for name in ("nvidia", "nvidia-uvm", "nvidia-modeset"):
        build_run("GPU doubles", ["gcc", "-c", *macros, "-o", place / f"{name}.ko", SOURCES / "module.c"])


def kernel_side(part: Path) -> None:
    """What stands for loading a module: the programs for it, and modprobe's settings."""
    for program in ("driver.py", "gpuconf.py", "kmsg.py"):
        copy(SOURCES / program, part / "usr/lib/gpu-double" / program, 0o755)
    copy(SOURCES / "modprobe.conf", part / "usr/lib/modprobe.d/gpu-double.conf", 0o644)
    write(part / "usr/lib/modprobe.d/nvidia-blacklists-nouveau.conf", "blacklist nouveau\noptions nouveau modeset=0\n")


def daemon(part: Path, unit: str, version: str) -> None:
    """A unit and the program that it starts, if it is one of ours that has a version."""
    copy(SOURCES / unit, part / "usr/lib/systemd/system" / unit, 0o644)
    if program := _DAEMONS.get(unit):
        write(part / "usr/bin" / program, (SOURCES / program).read_text().replace("@VERSION@", version), 0o755)


def enable(part: Path, unit: str, target: str) -> None:
    """The unit is started with the target."""
    link(part / "etc/systemd/system" / f"{target}.wants" / unit, f"/usr/lib/systemd/system/{unit}")


def copy(source: Path, target: Path, mode: int) -> None:
    """A file has a copy there, with this mode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(target: Path, text: str, mode: int = 0o644) -> None:
    """A file has this text."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def link(path: Path, target: str) -> None:
    """A link leads to the target."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
