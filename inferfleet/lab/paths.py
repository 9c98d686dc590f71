"""Where the lab keeps what it makes: base roots, the apt cache, running labs."""

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


def bases_dir() -> Path:
    """One finished root file system per suite and recipe."""
    return cache_dir() / "bases"


def apt_cache_dir() -> Path:
    """Files that the apt proxy has fetched; shared by all labs."""
    return cache_dir() / "apt"


def labs_dir() -> Path:
    """One directory for each lab that is up."""
    return cache_dir() / "labs"


def lab_dir(name: str) -> Path:
    """Everything that belongs to one lab."""
    return labs_dir() / name
