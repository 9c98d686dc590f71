"""Packages of the distribution."""

from pyinfra.api import QuoteString, StringCommand
from pyinfra.context import host

from inferfleet.changes import Changes, Effect
from inferfleet.facts.packages import MissingPackages
from inferfleet.operations.effects import converging
from inferfleet.operations.live import alone
from inferfleet.remote import shell_script


@converging
def present(packages: list[str]) -> tuple[Changes, list[StringCommand]]:
    """These packages are installed; the package lists are fetched only when one is missing.

    Args:
        packages: names of Debian packages.
    """
    missing = host.get_fact(MissingPackages, tuple(packages))
    if not missing:
        return Changes(), []
    found = Changes(tuple(Effect("install", name, "is missing") for name in missing))
    names = [QuoteString(name) for name in missing]
    return found, [alone("sh -c", QuoteString(shell_script("packages")), "packages", *names)]
