"""What things take at worst that are not all there at once."""

import heapq
from collections.abc import Iterable


class Peak:
    """The sum of the largest sizes, as many as are there at once.

    Args:
        at_once: how many.
        sizes: those there are.

    Attributes:
        total: the sum, in the sizes' unit.
    """

    __slots__ = ("_at_once", "_largest", "total")

    def __init__(self, at_once: int, sizes: Iterable[int] = ()) -> None:
        self._at_once = at_once
        self._largest = heapq.nlargest(at_once, sizes)
        heapq.heapify(self._largest)  # the least of them first
        self.total = sum(self._largest)

    def more(self, size: int) -> int:
        """What one more of a size would add."""
        if len(self._largest) < self._at_once:
            return size
        return max(size - self._largest[0], 0)

    def add(self, size: int) -> None:
        """One more of a size is there."""
        self.total += self.more(size)
        if len(self._largest) < self._at_once:
            heapq.heappush(self._largest, size)
        else:
            heapq.heappushpop(self._largest, size)
