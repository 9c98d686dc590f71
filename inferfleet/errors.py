"""The error tree: what ends in one clear line for the user, never in a traceback.

    pyinfra.api.exceptions.PyinfraError   printed by the `pyinfra` command as one line
    └── FleetError          anything the user can mend; `message` and what to do about it
        ├── SpecError       the inventory says something that cannot be; one line per mistake
        └── LabError        the lab cannot be made or reached here

This is the one module of the pure core that knows pyinfra, so that a mistake found while a
deploy is prepared ends as one line there too (pyinfra 3.10 prints a traceback for any other
exception).
"""

from collections.abc import Iterable

from pyinfra.api.exceptions import PyinfraError


class FleetError(PyinfraError):
    """Something the user can mend.

    Args:
        message: `where: what is wrong (got value)`, one line.
        hint: what to do, one clause; appended after a semicolon.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)


class SpecError(FleetError):
    """The inventory does not describe a fleet.

    Args:
        mistakes: one line each, `where: what is wrong (got value); what to do`.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class LabError(FleetError):
    """A lab cannot be made, reached or removed on this machine."""
