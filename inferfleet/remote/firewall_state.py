"""Answer, as one line of JSON, whether this host's table of the firewall is as declared.

Asked with what `engines.docker_host.Firewall` gives; alters nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from inferfleet.remote.firewall_look import firewall


def main(ask: dict[str, Any]) -> None:
    """Answer."""
    state = {"root": os.geteuid() == 0, "nft": bool(shutil.which("nft")), "firewall": firewall(ask)}
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"firewall: {error}")
