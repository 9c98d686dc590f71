"""Packages of the distribution."""

from pyinfra.api import QuoteString, StringCommand
from pyinfra.context import host

from inferfleet.changes import Changes, Effect
from inferfleet.facts.packages import MissingPackages
from inferfleet.operations.effects import converging


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
    install = "apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 --no-install-recommends install -y"
    # Without Error-Mode a list that cannot be fetched is no error (apt 2.6), and the install then speaks of a
    # package that does not exist.
    update = "apt-get -qq -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout=120 update"
    return found, [StringCommand("export DEBIAN_FRONTEND=noninteractive;", update, "&&", install, *names)]
