"""Which packages a host has."""

from collections.abc import Iterable

from pyinfra.api import FactBase, StringCommand


class MissingPackages(FactBase[list[str]]):
    """Those of the named Debian packages that are not installed."""

    default = list

    def command(self, names: tuple[str, ...]) -> StringCommand:
        """One `dpkg-query` for all of them; it says nothing of a package it never saw."""
        wanted = " ".join(names)
        return StringCommand(
            f"for p in {wanted}; do",
            'dpkg-query -W -f=\'${db:Status-Status}\\n\' "$p" 2>/dev/null | grep -qx installed || echo "$p"; done',
        )

    def process(self, output: Iterable[str]) -> list[str]:
        """The names, in order."""
        return [line for line in output if line]
