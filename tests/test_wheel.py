"""The wheel as a user gets it: what is in it, and the starter project out of it, in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CLONE = Path(__file__).parents[1]
# What the lab reads; and what made it, with the copy for engines that read safetensors.
LAB_DATA = {"Modelfile", "SHA256SUMS", "tiny.gguf", "README.md"}
TRAINING = {"train.py", "export_gguf.py", "requirements.txt", "model.safetensors", "tokenizer.json"}

Tool = Callable[..., "subprocess.CompletedProcess[str]"]

# A host that is not there: facts get the answers of a bare machine with four A30, and nothing else may be run.
BARE_HOST = '''
import json

from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

UUID = "GPU-00000000-0000-0000-0000-00000000000"
CARDS = [{"index": n, "uuid": f"{UUID}{n}", "name": "NVIDIA A30", "memory_mib": 24576} for n in range(4)]
NVML = {"driver": "580.65.06", "cuda": "13.0", "cards": CARDS, "error": None}
PROBE = ["=== system", "ID=debian", "USER_ID=0", "=== nvml", json.dumps(NVML)]


class BareHost(BaseConnector):
    """Answers `@bare/NAME`."""

    handles_execution = True

    @staticmethod
    def make_names_data(name):
        yield f"@bare/{name}", {}, ["@bare"]

    def run_shell_command(self, command, print_output=False, print_input=False, **arguments):
        text = command if isinstance(command, str) else command.get_raw_value()
        known = {"nvidia-smi": PROBE, "ollama_state": ["{}"], "python3 -c": ["{}"], "dpkg-query": ["zstd"]}
        for sign, lines in known.items():
            if sign in text:
                return True, CommandOutput([OutputLine("stdout", line) for line in lines])
        raise AssertionError(f"a dry run must not run: {text[:200]}")

    def put_file(self, *arguments, **more):
        raise AssertionError("a dry run must not write")

    get_file = put_file
'''


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the clone with what a working tree holds beside the sources; nothing is fetched."""
    copy = tmp_path_factory.mktemp("wheel") / "clone"
    shutil.copytree(CLONE, copy, ignore=shutil.ignore_patterns(".git", ".venv", "dist", ".*_cache"))
    for place in ("inventory", "roles", "templates", "inferfleet", "inferfleet/spec"):
        (copy / place / "__pycache__").mkdir(exist_ok=True)
        (copy / place / "__pycache__" / "stray.cpython-311.pyc").write_bytes(b"stray")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def tool(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """Run a program of a fresh environment in which the wheel is installed. Its dependencies come from this one."""
    venv = tmp_path_factory.mktemp("env") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)}))
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--offline", "--no-cache", "--no-deps", "--python", str(venv / "bin" / "python")]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (site / "bare_host.py").write_text(BARE_HOST)
    (site / "bare_host-1.dist-info").mkdir()
    (site / "bare_host-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bare-host\nVersion: 1\n")
    (site / "bare_host-1.dist-info" / "entry_points.txt").write_text(
        "[pyinfra.connectors]\nbare = bare_host:BareHost\n"
    )
    python = str(venv / "bin" / "python")
    script = Path(sys.executable).with_name("pyinfra").read_text().partition("\n")[2]
    (venv / "bin" / "pyinfra").write_text(f"#!{python}\n{script}")
    (venv / "bin" / "pyinfra").chmod(0o755)

    def run(name: str, *words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INFERFLEET"))}
        command = [str(venv / "bin" / name), *words]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def project(tool: Tool, tmp_path: Path) -> Path:
    done = tool("inferfleet", "init", "my-fleet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "my-fleet"
    (made / "inventory" / "bare.py").write_text('gpu = [("@bare/gpu1", {"gpus": ["A30"] * 4})]\n')
    return made


def test_nothing_stray_is_in_it(names: set[str]) -> None:
    stray = ("__pycache__", ".pyc", "tests/", "docs/", "tools/", ".git", "stray", ".env")
    assert [name for name in names if any(part in name for part in stray)] == []
    tops = {name.partition("/")[0] for name in names}
    assert {top.partition("-")[0] for top in tops} == {"inferfleet"}, tops


def test_the_lab_has_its_model_and_nothing_of_its_making(names: set[str]) -> None:
    found = {name.rpartition("/")[2] for name in names if name.startswith("inferfleet/lab/model/")}
    assert found >= LAB_DATA
    assert found & TRAINING == set()


def test_every_module_and_every_part_of_the_project_is_in_it(names: set[str]) -> None:
    modules = {str(path.relative_to(CLONE)) for path in CLONE.glob("inferfleet/**/*.py")}
    assert {name for name in modules - names if name.rpartition("/")[2] not in TRAINING} == set()
    parts = [
        CLONE / "deploy.py",
        *(path for part in ("inventory", "templates", "roles") for path in (CLONE / part).rglob("*")),
    ]
    wanted = {str(path.relative_to(CLONE)) for path in parts if path.is_file() and "__pycache__" not in path.parts}
    assert {f"inferfleet/_project/{path}" for path in wanted} - names == set()


def test_the_library_is_the_installed_one(tool: Tool, wheel: Path, tmp_path: Path) -> None:
    done = tool("python", "-c", "import inferfleet; print(inferfleet.__file__, inferfleet.__version__)", cwd=tmp_path)
    path, version = done.stdout.split()
    assert "/venv/" in path
    assert tool("inferfleet", "--version", cwd=tmp_path).stdout == f"inferfleet, version {version}\n"
    assert f"inferfleet-{version}-py3-none-any.whl" == wheel.name


def test_init_writes_what_a_clone_has(project: Path) -> None:
    for part in ("deploy.py", "inventory/prod.py", "roles/models.py", "templates/systemd/ollama.service.j2"):
        assert (project / part).read_bytes() == (CLONE / part).read_bytes()
    assert [path for path in project.rglob("*") if path.name in ("__pycache__", "lab.py")] == []


def test_init_overwrites_nothing(tool: Tool, project: Path) -> None:
    (project / "deploy.py").write_text("mine")
    done = tool("inferfleet", "init", "my-fleet", cwd=project.parent)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "my-fleet/deploy.py: exists already; name another directory, or move it away\n"
    assert (project / "deploy.py").read_text() == "mine"


def test_the_new_project_has_a_plan(tool: Tool, project: Path) -> None:
    done = tool("inferfleet", "plan", "inventory/prod.py", cwd=project)
    assert done.returncode == 0, done.stderr
    assert [f"ollama-gpu{card}" in done.stdout for card in range(4)] == [True] * 4


def test_a_dry_run_of_the_new_project_shows_its_units(tool: Tool, project: Path) -> None:
    done = tool("pyinfra", "inventory/bare.py", "deploy.py", "--dry", "--diff", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "will install zstd: is missing" in done.stderr
    assert "will fetch Ollama 0.32.15" in done.stderr
    assert "+++ /etc/systemd/system/ollama-gpu3.service (new)" in done.stderr
    assert 'Environment="CUDA_VISIBLE_DEVICES=3"' in done.stderr
    assert "will load llama2:13b on ollama-gpu3" in done.stderr


def test_packaged_templates_serve_where_the_project_has_none(tool: Tool, project: Path) -> None:
    shutil.rmtree(project / "templates")
    done = tool("pyinfra", "inventory/bare.py", "deploy.py", "--dry", "--diff", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "NoNewPrivileges=yes" in done.stderr


def test_a_template_of_the_user_wins(tool: Tool, project: Path) -> None:
    hardening = project / "templates" / "systemd" / "_hardening.conf.j2"
    hardening.write_text("# None, on purpose.\n")
    done = tool("pyinfra", "inventory/bare.py", "deploy.py", "--dry", "--diff", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "# None, on purpose." in done.stderr
    assert "NoNewPrivileges" not in done.stderr
