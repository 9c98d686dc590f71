"""Imports go one way only, as `inferfleet/__init__.py` draws them; files and functions stay short."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "inferfleet"
# Part of the library -> the parts it may import. A new part is added here, where a reader sees it.
MAY = {
    "errors": set(),
    "spec": {"errors"},
    "memory": {"errors"},
    "catalogue": {"errors"},
    "placed": {"spec"},
    "calibration": {"errors", "spec", "placed", "catalogue"},
    "engines": {"spec", "placed"},
    "plan": {"errors", "spec", "placed", "calibration", "engines", "memory", "catalogue"},
    "render": {"errors"},
    "gateway": {"errors", "spec", "plan", "render"},
    "firewall": {"engines", "render"},
    "gateways": {"spec", "placed", "engines", "plan", "render", "gateway", "prober"},
    "services": {"spec", "placed", "engines", "plan", "render"},
    "containers": {"placed", "engines", "plan", "render", "services"},
    "declared": {"placed", "engines", "plan"},
    "changes": {"catalogue", "placed", "engines"},
    "remote": set(),
    "probe": {"errors"},
    "prober": {"render"},
    "facts": {"remote", "probe"},
    "operations": {
        "changes",
        "declared",
        "placed",
        "engines",
        "plan",
        "containers",
        "firewall",
        "facts",
        "remote",
        "render",
    },
    "current": {"errors", "spec", "plan"},
    "inventory": {"errors", "spec", "plan"},
    "read_inventory": set(),
    "checks": {
        "errors",
        "gateway",
        "prober",
        "spec",
        "placed",
        "calibration",
        "engines",
        "plan",
        "services",
        "containers",
        "declared",
        "changes",
        "remote",
        "probe",
        "inventory",
    },
    "verify": {"errors", "calibration", "inventory", "checks"},
    "ssh": {"current"},
    "lab": {"errors"},
    "scaffold": {"errors"},
    "demo": {"errors", "inventory", "placed", "plan", "lab", "scaffold", "verify"},
    "plan_cli": {"errors", "spec", "calibration", "inventory", "plan"},
    "cli": {"errors", "__version__", "calibration", "plan_cli", "verify", "scaffold", "lab", "demo"},
}
# Parts that need no host and no pyinfra; `errors` alone knows it, so that pyinfra prints our errors as lines.
PURE = (
    "spec",
    "memory",
    "catalogue",
    "placed",
    "calibration",
    "engines",
    "plan",
    "render",
    "firewall",
    "gateway",
    "gateways",
    "services",
    "containers",
    "declared",
    "changes",
    "checks",
    "remote",
    "probe",
    "prober",
    "inventory",
)
# Of the checks, those that reach hosts or are pytest's.
REACHING = {"inferfleet.checks.target", "inferfleet.checks.plugin", "inferfleet.checks.fleet_test"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(LIBRARY.rglob("*.py"))
}
# `train.py`: how the tiny model was once trained, kept to read and to repeat; no part of the product.
_OTHER = (ROOT / "deploy.py", *sorted((ROOT / "roles").glob("*.py")))
OURS = [*(path for path in MODULES.values() if path.name != "train.py"), *_OTHER]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _named(module: str) -> Iterator[str]:
    """What a module imports, by the full name of each module."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES or base == "inferfleet" else base


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_part_is_drawn() -> None:
    assert {_part(module) for module in MODULES} - {""} == set(MAY)


@pytest.mark.parametrize("part", MAY)
def test_imports_go_one_way(part: str) -> None:
    for module in (module for module in MODULES if _part(module) == part):
        found = {_part(name) for name in _named(module) if name.startswith("inferfleet.")} - {part}
        assert found <= MAY[part], f"{module} imports {found - MAY[part]}"


def test_the_drawing_has_no_circle() -> None:
    TopologicalSorter(MAY).prepare()


def test_no_circle_of_modules() -> None:
    """A package's own `__init__` is loaded before its modules, so importing from it counts as well."""
    graph = {module: {name for name in _named(module) if name in MODULES and name != module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"{error.args[0]}: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", [m for m in MODULES if _part(m) in PURE and m not in REACHING])
def test_the_core_is_pure(module: str) -> None:
    outside = {name.split(".")[0] for name in _named(module)}
    assert not outside & {"pyinfra", "pyinfra_cli", "testinfra", "paramiko", "gevent", "pytest", "click", "rich"}


def test_the_library_knows_no_role() -> None:
    for module in MODULES:
        assert not {name for name in _named(module) if name.split(".")[0] in ("roles", "deploy", "tests", "inventory")}


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_short(path: Path) -> None:
    """Files under 300 lines, functions under 40."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 300
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length < 40, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_assert_and_no_late_import(path: Path) -> None:
    """`python -O` takes asserts away; an import inside a function hides a circle."""
    for node in ast.walk(_tree(path)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = [n.lineno for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inside, f"lines {inside}"
