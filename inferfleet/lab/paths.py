"""Where the lab keeps what it makes."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache directory of inferfleet.

    `$INFERFLEET_CACHE`, else `$XDG_CACHE_HOME/inferfleet`, else `~/.cache/inferfleet`.
    """
    if own := os.environ.get("INFERFLEET_CACHE"):
        return Path(own).absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "inferfleet"
    return Path.home() / ".cache" / "inferfleet"
