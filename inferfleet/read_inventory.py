"""`python -m inferfleet.read_inventory FILE`: the hosts and their data as JSON, for `inventory.read_inventory`.

Leans on `pyinfra_cli.inventory.make_inventory` (pyinfra 3.10), which is not a public function.
"""

import json
import os
import sys
import traceback

import pyinfra_cli  # patches the standard library for gevent, so it comes first
from pyinfra.api import Config, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_config, ctx_state
from pyinfra_cli.exceptions import UnexpectedExternalError
from pyinfra_cli.inventory import make_inventory

__all__ = ["main"]
_ = pyinfra_cli


def main(path: str) -> None:
    """Write the inventory to standard output; what is no plain data (F8: functions leak in) is written as text."""
    state = State(check_for_changes=False)
    state.cwd = os.getcwd()
    with ctx_state.use(state), ctx_config.use(Config()):
        inventory = make_inventory(path, cwd=state.cwd)
        hosts = {host.name: host.data.dict() for host in inventory}
        sys.stdout.write("\n" + json.dumps(hosts, default=repr) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except PyinfraError as error:
        sys.exit(str(error))
    except SyntaxError as error:
        sys.exit(f"{error.filename}:{error.lineno}: {error.msg}: {(error.text or '').strip()}")
    except UnexpectedExternalError as error:
        line = traceback.extract_tb(error.exception.__traceback__)[-1].lineno
        sys.exit(f"{error.filename}:{line}: {type(error.exception).__name__}: {error.exception}")
