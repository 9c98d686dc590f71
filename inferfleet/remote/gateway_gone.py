"""Take a gateway away that is no longer declared: its units, and the files that only it reads.

Told {"units", "unit_dir", "directories"}.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from inferfleet.remote.units import fail, say, systemctl


def main(work: dict[str, Any]) -> None:
    """Bring it about; the units' files, by which the next run sees that one is left, go last."""
    for name in work["units"]:
        systemctl("disable", "--quiet", "--now", name)
    for path in work["directories"]:
        shutil.rmtree(path, ignore_errors=True)
    for name in work["units"]:
        os.remove(f"{work['unit_dir']}/{name}")
        say(f"{name} is removed")
    systemctl("daemon-reload")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        fail(f"gateway: {error}")
