"""Answer, as one line of JSON, what this host has of the driver's apt source: {"root", "text", "key", "conflicts"}."""

from __future__ import annotations

import json
import os
import sys

from inferfleet.remote.apt_state import source_state

if __name__ == "__main__":
    try:
        found = source_state(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"NVIDIA driver: {error}")
    sys.stdout.write(json.dumps(dict(found, root=os.geteuid() == 0), sort_keys=True) + "\n")
