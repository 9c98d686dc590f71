"""The driver double as packages, under the names of NVIDIA's CUDA repository for Debian.

`nvidia-open` and `cuda-drivers` bring the driver with the open or the other module, `nvidia-driver-pinning-<branch>`
keeps it at a branch (NVIDIA, "Driver Installation Guide"). The module is not compiled on the host but copied to where
dkms puts it; `modprobe nvidia` or a reboot then "loads" it. What is loaded already stays, as on a real host.
"""

import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from inferfleet.lab.gpu import driver
from inferfleet.lab.gpu.driver import DRIVER, driver_tree
from inferfleet.lab.mirror.deb import build_deb
from inferfleet.lab.mirror.store import make_once

_LAYOUT: Final = 2
"""Raise it when the packages change otherwise than by the driver tree."""

_LIB: Final = "usr/lib/x86_64-linux-gnu"
_PARTS: Final = {
    "libnvidia-ml1": [f"{_LIB}/libnvidia-ml.so*", f"{_LIB}/libnvidia-cfg.so*"],
    "libcuda1": [f"{_LIB}/{name}.so*" for name in ("libcuda", "libnvidia-ptxjitcompiler", "libnvidia-nvvm")],
    "nvidia-driver-libs": [
        *(f"{_LIB}/{name}.so*" for name in ("libGLX_nvidia", "libnvidia-gpucomp", "libnvidia-allocator")),
        "usr/share/vulkan/icd.d/nvidia_icd.json",
    ],
    "nvidia-opencl-icd": [f"{_LIB}/libnvidia-opencl.so*"],
    "nvidia-driver-cuda": ["usr/bin/nvidia-smi"],
    "nvidia-kernel-support": [
        "usr/lib/gpu-double/driver.py",
        "usr/lib/modprobe.d/*",
        "usr/lib/systemd/system/gpu-double.service",
        "etc/systemd/system/sysinit.target.wants/gpu-double.service",
    ],
    "nvidia-persistenced": [
        "usr/bin/nvidia-persistenced",
        "usr/lib/systemd/system/nvidia-persistenced.service",
        "etc/systemd/system/multi-user.target.wants/nvidia-persistenced.service",
    ],
    "nvidia-fabricmanager": ["usr/bin/nv-fabricmanager", "usr/lib/systemd/system/nvidia-fabricmanager.service"],
}
"""Package -> its files in the driver tree. `gpuconf.py` and `kmsg.py` are the host's own: its cards have them."""

_MODULES: Final = {"nvidia-kernel-open-dkms": True, "nvidia-kernel-dkms": False}
_OTHER: Final = {"nvidia-kernel-open-dkms": "nvidia-kernel-dkms", "nvidia-kernel-dkms": "nvidia-kernel-open-dkms"}
_LIBRARIES: Final = ("libnvidia-ml1", "libcuda1", "nvidia-driver-libs", "nvidia-opencl-icd")
_DRIVER: Final = ("nvidia-driver-cuda", "nvidia-kernel-support", "nvidia-persistenced", *_LIBRARIES)
_META: Final = {"nvidia-open": "nvidia-kernel-open-dkms", "cuda-drivers": "nvidia-kernel-dkms"}

_BUILD: Final = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    to=/usr/lib/modules/$(uname -r)/updates/dkms
    mkdir -p "$to"
    cp /usr/src/nvidia-{version}/*.ko "$to"
    depmod 2>/dev/null || true
fi
"""
_FORGET: Final = """\
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    rm -f /usr/lib/modules/*/updates/dkms/nvidia*.ko
    depmod 2>/dev/null || true
fi
"""
_LDCONFIG: Final = '#!/bin/sh\nset -e\n[ "$1" != configure ] || ldconfig\n'
_RELOAD: Final = "#!/bin/sh\nset -e\n[ ! -d /run/systemd/system ] || systemctl daemon-reload || true\n"
_START: Final = _RELOAD + '[ "$1" != configure ] || systemctl try-restart {unit} || true\n'


def driver_debs(cache: Path, say: Callable[[str], None], version: str = DRIVER) -> list[Path]:
    """Packages of one driver version are there, both flavours of the module among them.

    Args:
        cache: inferfleet's cache.
        say: is told what takes long.
        version: of the driver: "580.95.05".

    Raises:
        LabError: they cannot be made here.
    """
    tree = driver_tree(cache, say, version)
    target = cache / "gpu-double" / f"debs-{_LAYOUT}-{tree.name.removeprefix('driver-')}"
    return sorted(make_once(target, lambda part: _make(part, tree, version)).glob("*.deb"))


def _make(part: Path, tree: Path, version: str) -> None:
    work = part / "work"
    files = [path.relative_to(tree) for path in sorted(tree.rglob("*")) if path.is_symlink() or path.is_file()]
    for name, patterns in _PARTS.items():
        # Not by glob, which passes over links that lead to where they are on a host.
        for path in (path for path in files if any(fnmatch(str(path), pattern) for pattern in patterns)):
            _keep(tree / path, work / name / path)
        scripts = {"postinst": _LDCONFIG} if name in _LIBRARIES else _units_scripts(name)
        build_deb(work / name, _fields(name, version, _needs(name, version)), part, scripts)
    for name, is_open in _MODULES.items():
        driver.modules(work / name / "usr/src" / f"nvidia-{version}", version, is_open)
        fields = _fields(name, version, f"nvidia-kernel-support (= {version}-1)")
        fields.update(Conflicts=_OTHER[name], Provides=f"nvidia-kernel (= {version})")
        build_deb(work / name, fields, part, {"postinst": _BUILD.format(version=version), "prerm": _FORGET})
    _metas(part, work, version)
    shutil.rmtree(work)


def _metas(part: Path, work: Path, version: str) -> None:
    same = f"(= {version}-1)"
    needs = ", ".join(f"{name} {same}" for name in _DRIVER)
    build_deb(_empty(work, "nvidia-driver"), _fields("nvidia-driver", version, f"{needs}, nvidia-kernel"), part)
    for name, kernel in _META.items():
        needs = f"nvidia-driver {same}, {kernel} {same}"
        build_deb(_empty(work, name), _fields(name, version, needs), part)
    branch = version.split(".")[0]
    name = f"nvidia-driver-pinning-{branch}"
    pins = f"Package: *nvidia* cuda-drivers* libcuda1\nPin: version {branch}.*\nPin-Priority: 1000\n"
    driver.write(work / name / "etc/apt/preferences.d" / name, pins)
    fields = {**_fields(name, branch, ""), "Provides": "nvidia-driver-pinning", "Conflicts": "nvidia-driver-pinning"}
    build_deb(work / name, {key: value for key, value in fields.items() if value}, part)


def _units_scripts(name: str) -> dict[str, str]:
    if name in ("nvidia-persistenced", "nvidia-fabricmanager"):
        return {"postinst": _START.format(unit=name)}
    return {"postinst": _RELOAD} if name == "nvidia-kernel-support" else {}


def _needs(name: str, version: str) -> str:
    libraries = f"libnvidia-ml1 (= {version}-1)"
    if name in ("nvidia-kernel-support", "nvidia-persistenced", "nvidia-fabricmanager"):
        return "python3, kmod"
    return libraries if name == "nvidia-driver-cuda" else "libc6"


def _fields(name: str, version: str, needs: str) -> dict[str, str]:
    description = f"{name}: a GPU double of inferfleet's lab\nNothing of NVIDIA's is in it."
    return {
        "Package": name,
        "Version": f"{version}-1",
        "Depends": needs,
        "Source": "nvidia-graphics-drivers",
        "Description": description,
    }


def _empty(work: Path, name: str) -> Path:
    (work / name).mkdir(parents=True)
    return work / name


def _keep(source: Path, target: Path) -> None:
    if source.is_symlink():
        driver.link(target, str(source.readlink()))
    else:
        driver.copy(source, target, source.stat().st_mode & 0o777)
