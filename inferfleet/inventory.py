"""Read an inventory file outside the `pyinfra` command, as that command would read it.

It is read in a process of its own: pyinfra's reader (3.10) patches the standard library for gevent when it is imported,
which is no state to run pytest or anything else in.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from inferfleet.errors import FleetError
from inferfleet.plan import FleetPlan, make_plan
from inferfleet.spec import parse_fleet

HostData = dict[str, Any]


def read_inventory(path: str) -> dict[str, HostData]:
    """Every host of an inventory file with its merged data, in the file's order.

    Raises:
        FleetError: there is no such file, or it cannot be read as an inventory.
    """
    if not Path(path).is_file():
        raise FleetError(f"{path}: there is no such inventory", "name a file, as in inventory/prod.py")
    command = [sys.executable, "-m", "inferfleet.read_inventory", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise FleetError(f"{path}: cannot be read: {last[0]}", f"try `pyinfra {path} debug-inventory`")
    # An inventory is a program, and may have printed something before.
    hosts: dict[str, HostData] = json.loads(done.stdout.splitlines()[-1])
    return hosts


def plan_from(path: str) -> FleetPlan:
    """The plan of an inventory file; no host is contacted.

    Raises:
        FleetError: the file cannot be read.
        SpecError: one line for each mistake in it.
    """
    return make_plan(parse_fleet(read_inventory(path)))
