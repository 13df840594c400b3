"""Which numbers of a journal were not seen. In: numbers in any order, also twice. Out: how many are missing.

Damage says how many places could not be read, not how many records stood there; and a segment that is gone says
nothing at all. The numbers do: they have no holes, but for records that the disk refused and nobody was told of.
"""

from __future__ import annotations

from bisect import bisect_right


class Gaps:
    """Numbers above `passed` that are missing below the newest one seen. What is missing behind it nobody can know."""

    def __init__(self, passed: int) -> None:
        self._newest = passed
        self._gaps: list[tuple[int, int]] = []  # first, last; in order, apart

    def see(self, number: int) -> None:
        if number > self._newest:
            if number > self._newest + 1:
                self._gaps.append((self._newest + 1, number - 1))
            self._newest = number
            return
        at = bisect_right(self._gaps, number, key=lambda gap: gap[0]) - 1
        if at < 0 or number > self._gaps[at][1]:
            return  # passed, or seen before
        first, last = self._gaps[at]
        self._gaps[at : at + 1] = [gap for gap in ((first, number - 1), (number + 1, last)) if gap[0] <= gap[1]]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self._gaps)
