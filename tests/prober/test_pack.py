"""What is carried: one small zip, the same each time, for Python 3.8 and its standard library alone."""

import ast
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inferfleet.prober import pack
from tests.prober.conftest import document, server
from tests.prober.engine_double import MODEL
from tests.prober.running import running, until
from tests.remote.test_scripts import NEWER, _evaluated, _names_a_dict

HERE = Path(pack.__file__).parent
PATHS = [HERE / f"{name}.py" for name in pack.CARRIED]


def test_all_but_pack_and_unit_is_carried() -> None:
    assert {path.stem for path in HERE.glob("*.py")} == {*pack.CARRIED, "pack", "unit"}
    names = zipfile.ZipFile(io.BytesIO(pack.zipped())).namelist()
    assert names[:2] == ["__main__.py", "inferfleet/__init__.py"]
    assert len(pack.zipped()) < 64 * 1024


def test_the_same_bytes_each_time() -> None:
    """What runs on the host is compared with what is declared by its digest."""
    first = pack.zipped()
    pack.zipped.cache_clear()
    assert pack.zipped() == first


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_syntax_of_python_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    if len(tree.body) > 1:
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body[:2])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_newer_is_evaluated(path: Path) -> None:
    generic = ("list", "dict", "tuple", "set", "type", "deque", "Callable", "Awaitable", "Iterator", "Future")
    for node in _evaluated(ast.parse(path.read_text())):
        if isinstance(node, ast.Subscript):
            name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            assert name not in generic, f"line {node.lineno}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            assert not any(isinstance(side, ast.Dict) or _names_a_dict(side) for side in (node.left, node.right))
        if isinstance(node, ast.Attribute):
            assert node.attr not in {*NEWER, "TaskGroup", "to_thread", "Runner", "timeout_at"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_standard_library_alone(path: Path) -> None:
    carried = {f"inferfleet.prober.{name}" for name in pack.CARRIED} | {"inferfleet.prober"}
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [str(node.module)]
        for name in names:
            assert name in carried or name.split(".")[0] in sys.stdlib_module_names


def _old_python() -> str | None:
    """A python3.8 of this machine that starts."""
    places = [Path(folder) / "python3.8" for folder in os.environ["PATH"].split(":")]
    for path in (*places, *Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8")):
        if path.exists() and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(path)
    return None


def test_it_runs_in_python_3_8(short: Path) -> None:
    python = _old_python()
    if not python:
        pytest.skip("there is no python3.8 here")
    text = document({**server("127.0.0.1:1"), "model": MODEL}, stats=["/no/such/socket"], outbox=str(short / "out"))
    with running(short, text, python) as made:
        until(lambda: made.ask("m/s") == "down #refused: Connection refused\n")
        assert "inferfleet_prober_up" in made.page("/metrics")
        made.again()
        assert made.one()["up"] is False
    assert "Traceback" not in "".join(made.said())
