"""What every script on hosts must be: one text, standard library alone, Python 3.8, short enough for a command line."""

import ast
import shlex
import sys
from collections.abc import Iterator
from importlib.resources import files

import pytest

from inferfleet.remote import script

NAMES = sorted(p.name[:-3] for p in files("inferfleet.remote").iterdir() if p.name.endswith(".py") and p.name[0] != "_")
# Newer than Python 3.8: methods and functions that a host may not have.
NEWER = {
    "removeprefix",
    "removesuffix",
    "pairwise",
    "batched",
    "bit_count",
    "is_relative_to",
    "hardlink_to",
    "readlink_to",
}
MAX_ARGUMENT = 128 * 1024  # Linux, MAX_ARG_STRLEN: one argument of a command


@pytest.mark.parametrize("name", NAMES)
def test_syntax_of_python_3_8(name: str) -> None:
    tree = ast.parse(script(name), feature_version=(3, 8))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body[:2])


def _evaluated(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but annotations, which nothing evaluates."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST):
                yield node
                yield from _evaluated(node)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_newer_is_evaluated(name: str) -> None:
    """A parser of 3.8 takes `list[str]()`, `{} | {}` and `zip(strict=True)`; the interpreter of 3.8 does not."""
    for node in _evaluated(ast.parse(script(name))):
        if isinstance(node, ast.Subscript):
            assert not (isinstance(node.value, ast.Name) and node.value.id in ("list", "dict", "tuple", "set", "type"))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = (node.left, node.right)
            assert not any(isinstance(side, ast.Dict | ast.DictComp) or _names_a_dict(side) for side in sides)
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr):
            assert not isinstance(node.value, ast.Dict | ast.DictComp)
        if isinstance(node, ast.Attribute):
            assert node.attr not in NEWER
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("zip", "map"):
            assert "strict" not in [keyword.arg for keyword in node.keywords]


def _names_a_dict(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"


@pytest.mark.parametrize("name", NAMES)
def test_standard_library_alone(name: str) -> None:
    imported = set()
    for node in ast.walk(ast.parse(script(name))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported - {"__future__"} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", NAMES)
def test_no_name_means_two_things(name: str) -> None:
    """Parts and script share one namespace: the later definition would silently take the place of the earlier."""
    meant: dict[str, set[str]] = {}
    for node in ast.parse(script(name)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            meant.setdefault(node.name, set()).add(ast.dump(node))
        if isinstance(node, ast.Assign):
            for target in (target for target in node.targets if isinstance(target, ast.Name)):
                meant.setdefault(target.id, set()).add(ast.dump(node.value))
    assert [defined for defined, bodies in meant.items() if len(bodies) > 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_fits_on_a_command_line(name: str) -> None:
    """Quoted twice (sudo, sh), and room for what it is told."""
    assert len(shlex.quote(shlex.quote(script(name)))) < MAX_ARGUMENT / 2
