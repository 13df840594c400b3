"""How many requests came in, failed or were slow, per entry operation and ten seconds: exact, nothing sampled.

In: measured batches. Out: counts of a window that anybody can check against the traffic. Bounded: `BUCKETS_MAX`
times `OPERATIONS_MAX` rows of 28 bytes; operations beyond that are counted together as operation 0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis

BUCKET_NS = 10_000_000_000
BUCKETS_MAX = 2_160  # six hours
OPERATIONS_MAX = 256


@dataclass(slots=True)
class _Bucket:
    number: int
    counts: dict[int, list[int]] = field(default_factory=dict)


class EntryCounts:
    """Requests, failed and slow ones by entry operation. Owner: one thread."""

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS_MAX)

    def add(self, analysis: Analysis, counted: npt.NDArray[np.bool_], slow: npt.NDArray[np.bool_], now_ns: int) -> None:
        """Count the traces of a batch by their first root.

        Parameters
        ----------
        analysis : Analysis
        counted : bool[T]
            Traces to count; each has spans.
        slow : bool[T]
        now_ns : int
            The owner's time.
        """
        forest = analysis.forest
        full = np.flatnonzero(counted)
        if not len(full):
            return
        first = forest.trace_ptr[:-1][full]  # parents stand before children: the first node is a root
        operations = analysis.traces.rows["operation"][forest.row[first]]
        # Operation ids are dense and bounded: counting them all costs less than sorting those that are here.
        requests = np.bincount(operations)
        found = np.flatnonzero(requests)
        failed = np.bincount(operations[analysis.failed[first]], minlength=len(requests))
        late = np.bincount(operations[slow[full]], minlength=len(requests))
        sums = np.stack([requests[found], failed[found], late[found]], axis=1)
        counts = self._bucket(now_ns // BUCKET_NS).counts
        for operation, row in zip(found.tolist(), sums.tolist(), strict=True):
            if operation not in counts and len(counts) >= OPERATIONS_MAX:
                operation = 0
            held = counts.setdefault(operation, [0, 0, 0])
            for column, number in enumerate(row):
                held[column] += number

    def between(self, from_ns: int, to_ns: int) -> dict[int, tuple[int, int, int]]:
        """Sum (requests, failed, slow) by operation over the ten-second buckets that [from_ns, to_ns) touches."""
        first, last = from_ns // BUCKET_NS, (to_ns - 1) // BUCKET_NS
        sums: dict[int, list[int]] = {}
        for bucket in self._buckets:
            if first <= bucket.number <= last:
                for operation, row in bucket.counts.items():
                    held = sums.setdefault(operation, [0, 0, 0])
                    for column, number in enumerate(row):
                        held[column] += number
        return {operation: (row[0], row[1], row[2]) for operation, row in sums.items()}

    def _bucket(self, number: int) -> _Bucket:
        # A clock that was set back counts into the newest bucket: time never runs backwards here.
        if not self._buckets or number > self._buckets[-1].number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]
