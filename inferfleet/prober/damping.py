"""How many results in a row change a state, and how often it may change."""

from __future__ import annotations

from inferfleet.prober.config import Limits


class Damper:
    """Up, down, or not known yet; times are of a clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.up: bool | None = None
        self.since = 0.0
        self.flips = 0
        self._against = 0  # results in a row against the state

    def saw(self, well: bool, now: float) -> bool:
        """Take one result; whether the state has changed."""
        if self.up is well:
            self._against = 0
            return False
        if self.up is None and well:
            self._against = self.limits.hits  # nothing speaks against the first good one
        else:
            self._against += 1
        needed = self.limits.hits if well else self.limits.misses
        if self._against < needed or (self.up is not None and now - self.since < self.limits.hold_s):
            return False
        self.flips += self.up is not None
        self.up, self.since, self._against = well, now, 0
        return True

    def calm(self) -> None:
        """A sign of life from elsewhere: misses until here do not count."""
        if self.up is not False:
            self._against = 0
