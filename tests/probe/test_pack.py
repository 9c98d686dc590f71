"""The command that carries the probe: small enough, able to run on old hosts, and leaving nothing behind."""

import ast
import base64
import io
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inferfleet import probe
from inferfleet.probe import pack
from tests.remote.test_scripts import NEWER, _evaluated


def test_it_fits_into_one_argument_of_sudo() -> None:
    """sudo makes one argument of it, quoted once more; the kernel takes 128 KiB."""
    assert len(shlex.quote(probe.command())) < pack.MAX_ZIP


def test_it_carries_nvidias_own_library_unchanged() -> None:
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(pack.zipped())))
    assert archive.namelist() == ["nvml.py", "pynvml.py"]
    assert archive.read("pynvml.py") == pack.pynvml().read_bytes()
    assert b"Copyright (c) 2011-2025, NVIDIA Corporation" in archive.read("pynvml.py")


def test_the_same_text_each_time() -> None:
    """pyinfra and our SSH connector know a question again by its text."""
    first = pack.zipped()
    pack.zipped.cache_clear()
    assert pack.zipped() == first


@pytest.mark.parametrize("path", [Path(pack.__file__).with_name("nvml.py"), pack.pynvml()], ids=lambda path: path.name)
def test_syntax_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_nothing_newer_is_evaluated() -> None:
    tree = ast.parse(Path(pack.__file__).with_name("nvml.py").read_text())
    for node in _evaluated(tree):
        if isinstance(node, ast.Subscript):
            assert not (isinstance(node.value, ast.Name) and node.value.id in ("list", "dict", "tuple", "set", "type"))
        assert not (isinstance(node, ast.Attribute) and node.attr in NEWER)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported - {"pynvml"} <= sys.stdlib_module_names


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    path = environment.pop("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return subprocess.run(
        ["sh", "-c", probe.command()],
        capture_output=True, text=True, check=False, env={"PATH": path, **environment}, timeout=60,
    )  # fmt: skip


def test_on_a_machine_without_cards(tmp_path: Path) -> None:
    done = _run(TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    state = probe.answer(done.stdout.splitlines())
    assert (state["cards"], state["by"], state["error"]["code"]) == ([], None, 12)
    assert state["system"]["kernel"] and state["system"]["id"]
    assert list(tmp_path.iterdir()) == []


def _tools(folder: Path, **programs: str) -> str:
    """A PATH whose first folder has these programs."""
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


LISTED = "GPU 0: NVIDIA A30 (UUID: GPU-00000a30-0d2f-4c3b-9a8e-000000000000)"


@pytest.mark.parametrize("python3", ["exit 127", "exit 0"], ids=["broken", "too old"])
def test_nvidia_smi_is_asked_where_python_cannot(tmp_path: Path, python3: str) -> None:
    """The recorded XML of one card through the whole script; its temporary folder is gone afterwards."""
    recorded = Path(__file__).parents[1] / "plan/machines/recorded/a10g.xml"
    smi = f'case "$1" in -q) cat {recorded} ;; -L) echo "{LISTED}" ;; *) echo "0, 8.6" ;; esac'
    path, temporary = _tools(tmp_path, python3=python3, nvidia_smi=smi), tmp_path / "tmp"
    temporary.mkdir()
    state = probe.answer(_run(PATH=path, TMPDIR=str(temporary)).stdout.splitlines())
    (card,) = state["cards"]
    assert (state["by"], card["name"], card["compute"]) == ("nvidia-smi", "NVIDIA A10G", "8.6")
    assert list(temporary.iterdir()) == []


def test_the_kernels_log_and_the_packages(tmp_path: Path) -> None:
    log = "NVRM: Xid (PCI:0000:b1:00): 79, pid=1, GPU has fallen off the bus."
    packages = "ii |nvidia-open|580.95.05-1\\nhi |cuda-drivers|580.95.05-1\\nrc |libnvidia-ml1|470-1\\n"
    path = _tools(
        tmp_path,
        journalctl=f'echo "{log}"; echo "{log}"',
        dpkg_query=f"printf '{packages}ii |nvidia-container-toolkit|1.20.1-1\\nii |unattended-upgrades|2\\n'",
        apt_config="echo \"UNATTENDED='1'\"",
    )
    state = probe.answer(_run(PATH=path).stdout.splitlines())
    assert [(x["pci"], x["xid"], x["times"]) for x in state["xids"]] == [("0000:b1:00.0", 79, 2)]
    assert state["upkeep"]["packages"] == {
        "nvidia-open": {"version": "580.95.05-1", "held": False},
        "cuda-drivers": {"version": "580.95.05-1", "held": True},
    }
    assert state["upkeep"]["unattended"] is True


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(ValueError, match="breaks off"):
        probe.answer(["=== system", "ID=debian", "sh: 1: killed"])
