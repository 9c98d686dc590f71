"""Bring our table of the firewall about on a host without Docker.

Told {"install", "firewall"}: whether nftables is missing, and what `changes.firewall` gives as work.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from inferfleet.remote.apt_source import fail, install, say
from inferfleet.remote.firewall_load import firewall


def main(work: dict[str, Any]) -> None:
    """Bring it about."""
    os.umask(0o022)
    if work["install"]:
        install({"nftables": None})
        say("nftables installed")
    firewall(work["firewall"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as problem:
        fail(f"firewall: {problem}")
