"""Packages of the distribution."""

from pyinfra.api import QuoteString, StringCommand
from pyinfra.context import host

from inferfleet.changes import Changes, Effect
from inferfleet.facts.packages import MissingPackages
from inferfleet.operations.effects import converging

# needrestart (Ubuntu) would restart any service whose libraries changed at some time, the engines of the GPU too.
_QUIETLY = "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C;"
# `DPkg::Lock::Timeout` is not for the lists (apt 3.0), which a fresh machine's apt-daily holds for its first minutes.
_UNLOCKED = (
    "n=0; until why=$({} 2>&1) && why=; do "
    'case $why in *"Could not get lock"*) n=$((n+1)) ;; *) break ;; esac; [ $n -lt 60 ] || break; sleep 2; done;'
)
# A list of somebody else that cannot be fetched is only told of where ours cannot be installed without.
_ELSE_SAY = "2>&1) || { printf '%s\\n' \"${why:-$said}\" >&2; exit 1; }"


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
    return found, [installing(missing)]


def installing(names: list[str]) -> StringCommand:
    """A command that brings the lists up to date, once nobody else does, and installs these packages."""
    install = "apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 --no-install-recommends install -y"
    # Without Error-Mode a list that cannot be fetched is no error (apt 2.6), and the install then speaks of a
    # package that does not exist.
    update = "apt-get -qq -o APT::Update::Error-Mode=any update"
    return StringCommand(_QUIETLY, _UNLOCKED.format(update), f"said=$({install}", *map(QuoteString, names), _ELSE_SAY)
