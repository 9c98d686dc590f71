"""docs/reference/example-plans.md: what `inferfleet plan` prints for each inventory in `inventory/examples`."""

import io
from pathlib import Path

from rich.console import Console

from inferfleet.inventory import read_inventory
from inferfleet.plan import plan_or_refuse
from inferfleet.plan_cli.terminal import Terminal
from inferfleet.spec import parse_fleet

EXAMPLES = Path(__file__).parents[1] / "inventory" / "examples"
WIDTH = 120
_HEAD = """<!-- Made by `just reference`; do not edit. -->
# Plans of the example inventories

Printed by `inferfleet plan` on a terminal of {width} columns. How to read it: [how much fits](../howto/capacity.md).
"""


def example_plans_page() -> str:
    """The page: each example with its first sentence, its file and its plan."""
    parts = [_HEAD.format(width=WIDTH)]
    for path in sorted(EXAMPLES.glob("*.py")):
        about = path.read_text(encoding="utf-8").split('"""')[1].strip()
        name = f"inventory/examples/{path.name}"
        command = f"$ inferfleet plan {name} --offline"
        parts.append(
            f"## {path.stem}\n\n{about} [The inventory](../../{name})\n\n```console\n{command}\n{printed(path)}```\n"
        )
    return "\n".join(parts)


def printed(path: Path, width: int = WIDTH) -> str:
    """What the command prints for an inventory, line ends without blanks."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    plan = plan_or_refuse(parse_fleet(read_inventory(str(path))))
    Terminal(Console(file=out, width=width, force_terminal=True, color_system=None)).plan(plan)
    out.seek(0)
    return "".join(f"{line.rstrip()}\n" for line in out.read().splitlines())
