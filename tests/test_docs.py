"""The documentation is true: examples parse, commands and links exist, generated pages are fresh, promises have tests.

How a page is marked: a Python block whose first line is a comment with a path in `inventory/` is an inventory; other
Python blocks must be valid Python. Lines of `sh` blocks, lines that begin with `$ ` in `console` blocks, and code in
running text that begins with a known program are commands.
"""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from inferfleet import ssh
from inferfleet.checks import fleet_checks
from inferfleet.cli import main as inferfleet
from inferfleet.plan import make_plan
from inferfleet.spec import parse_fleet
from tools import reference

CLONE = Path(__file__).parents[1]
PAGES = sorted([*CLONE.glob("*.md"), *CLONE.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block: its page, the line it begins at, its language and text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(CLONE)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            yield Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return BLOCK.sub("", page.read_text())


PYTHON = [block for block in blocks() if block.language == "python"]
INVENTORIES = [block for block in PYTHON if block.text.startswith("# inventory/")]


def executed(text: str) -> dict[str, Any]:
    """The plain data that an inventory or group data file leaves; names with an underscore are not data of ours."""
    found: dict[str, Any] = {}
    exec(compile(text, "example", "exec"), found)
    return {name: value for name, value in found.items() if isinstance(value, dict | list) and name[0] != "_"}


def hosts_of(example: str) -> dict[str, dict[str, Any]]:
    """Host data as pyinfra merges it: the example, and the starter project for what it leaves open."""
    data = executed((CLONE / "inventory/group_data/all.py").read_text())
    groups = executed((CLONE / "inventory/prod.py").read_text())
    found = executed(example)
    if "/group_data/" in example.partition("\n")[0]:
        data |= found
    else:
        groups = found
    return {name: {**data, **own} for group in groups.values() for name, own in group}


@pytest.fixture(autouse=True)
def stock_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that calls `ssh.use()` leaves pyinfra as it is for other tests."""
    monkeypatch.setattr(ssh, "use", lambda: None)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", INVENTORIES, ids=str)
def test_inventory_example_is_a_fleet(block: Block) -> None:
    plan = make_plan(parse_fleet(hosts_of(block.text)))
    assert any(node.instances for node in plan.nodes)


def test_there_are_examples_of_both_kinds() -> None:
    kinds = {"/group_data/" in block.text.partition("\n")[0] for block in INVENTORIES}
    assert kinds == {True, False}


def commands() -> Iterator[tuple[str, str]]:
    """Where, and the command."""
    for block in blocks():
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                yield str(block), line.strip()
        elif block.language == "console":
            yield from ((str(block), line[2:]) for line in block.text.splitlines() if line.startswith("$ "))
    for page in PAGES:
        where = str(page.relative_to(CLONE))
        yield from ((where, code) for code in INLINE.findall(prose(page)))


def of_program(name: str) -> list[tuple[str, list[str]]]:
    """Where, and the words after the program's name, for every command of that program."""
    found = []
    for where, line in commands():
        words = shlex.split(line.partition(" # ")[0]) if re.match(rf"(tools/run |sudo )?{name} \w", line) else []
        if words:
            found.append((where, words[words.index(name) + 1 :]))
    return found


@pytest.mark.parametrize(("where", "words"), of_program("inferfleet"), ids=lambda value: str(value))
def test_inferfleet_command_exists(where: str, words: list[str]) -> None:
    command: click.Command = inferfleet
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{where}: no command {words[0]!r} in {command.name}"
        command, words = command.commands[words[0]], words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    if command.name != "exec":
        assert given <= known, where


def test_pyinfra_options_exist() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pyinfra", "--help"], capture_output=True, text=True, check=True
    ).stdout
    used = [(where, word) for where, words in of_program("pyinfra") for word in words if word.startswith("-")]
    assert {"--dry", "--diff"} <= {word for _, word in used}
    assert [(where, word) for where, word in used if not re.search(rf"{re.escape(word)}\b", told)] == []


def test_recipes_exist() -> None:
    recipes = set(re.findall(r"^([\w-]+)[^\n:=]*:(?!=)", (CLONE / "justfile").read_text(), re.MULTILINE))
    used = {words[0] for _, words in of_program("just")}
    assert used
    assert used <= recipes


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Every relative link of a page: its text, the file it leads to, the anchor."""
    for found in LINK.finditer(prose(page)):
        path, _, anchor = found["to"].partition("#")
        if not re.match(r"\w+:", found["to"]):
            yield found["text"], (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CLONE)))
def test_links_lead_somewhere(page: Path) -> None:
    for text, target, anchor in links(page):
        name = str(target.relative_to(CLONE))
        assert target.exists(), f"[{text}] leads to {name}, which is not there"
        assert not anchor or anchor in anchors(target), f"[{text}]: {name} has no heading #{anchor}"


def test_files_named_in_the_text_exist() -> None:
    pattern = re.compile(r"(inferfleet|tests|templates|roles|inventory|tools|docs|requirements)/[\w./-]+")
    named = [(page.name, code) for page in PAGES for code in INLINE.findall(prose(page)) if pattern.fullmatch(code)]
    assert len(named) > 40
    made = "inferfleet/_project/"  # in a wheel
    assert [(page, path) for page, path in named if not (CLONE / path).exists() and path != made] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set(), {CLONE / "README.md"}
    while new:
        reached |= new
        new = {to for page in new for _, to, _ in links(page) if to.suffix == ".md" and to.exists()} - reached
    assert set(PAGES) - reached == set()


def test_each_promise_names_a_test_that_exists() -> None:
    promised = [(text.strip("`"), to) for text, to, _ in links(CLONE / "README.md") if text.startswith("`test_")]
    assert len(promised) > 10
    for name, path in promised:
        functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path.name} has no {name}"


def test_counted_promises_count_right() -> None:
    drift = ast.parse((CLONE / "tests/lab/test_drift.py").read_text())
    kinds = {
        node.targets[0].id: len(node.value.keys)
        for node in drift.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    counted = kinds["ONE_INSTANCE"] + kinds["WHOLE_HOST"]
    times = re.search(r"^TIMES = (\d+)$", (CLONE / "tests/lab/test_killed.py").read_text(), re.MULTILINE)
    readme, decision = (
        (CLONE / "README.md").read_text(),
        (CLONE / "docs/decisions/003-converge-by-state.md").read_text(),
    )
    assert times
    for text in (readme, decision):
        assert f"{counted} kinds" in text
        assert f"{times[1]} moments" in text


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_page_is_fresh(name: str) -> None:
    assert (reference.REFERENCE / name).read_text() == reference.PAGES[name](), "run `just reference`"


def test_checks_page_has_every_check_and_no_other() -> None:
    page = CLONE / "docs/reference/checks.md"
    example = next(block.text for block in INVENTORIES if block.page == page)
    rows = re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.MULTILINE)
    assert rows == [str(check) for check in fleet_checks(make_plan(parse_fleet(hosts_of(example))))]


# --- failure lines ------------------------------------------------------------------------------

TROUBLE = CLONE / "docs/howto/troubleshooting.md"
# Words of pyinfra, sudo and apt, and what stands in templates.
FOREIGN = ("Could not", "Authentication error", "No hosts remaining", "E:", "Error: executed", "pull model")


def literals(tree: ast.AST) -> Iterator[str]:
    """Text constants, those inside f-strings among them."""
    yield from (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def sources() -> str:
    paths = [*CLONE.glob("inferfleet/**/*.py")]
    texts = [text for path in paths if "model" not in path.parts for text in literals(ast.parse(path.read_text()))]
    return "\n".join(map(plain, [*texts, *(p.read_text() for p in CLONE.glob("templates/**/*.j2"))]))


def test_failure_lines_are_those_of_the_code() -> None:
    known = sources()
    rows = re.findall(r"^\| (`.+?`) \|", TROUBLE.read_text(), re.MULTILINE)
    quoted = [code for cell in rows for code in INLINE.findall(cell)]
    assert len(quoted) > 30
    for code in quoted:
        parts = [part.strip(" :;,") for part in re.split(r"\.\.\.|; ", plain(code))]
        unknown = [part for part in parts if part and part not in known and not part.startswith(FOREIGN)]
        assert not unknown, f"{code!r}: {unknown} is not in the code"


def failures() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every failure that a remote script can end with: its file, and the constant parts of its line."""
    for path in sorted(CLONE.glob("inferfleet/remote/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("fail", "Failed"):
                parts = tuple(part for text in literals(node.args[0]) if len(part := plain(text).strip(" :;,")) > 7)
                if parts:
                    yield path.name, parts


@pytest.mark.parametrize(("script", "parts"), sorted(set(failures())), ids=str)
def test_failure_line_is_explained(script: str, parts: tuple[str, ...]) -> None:
    page = plain(TROUBLE.read_text())
    assert any(part in page for part in parts), f"{script}: {parts}"
