"""Where the bytes and rows stand: one arena, cut into segments that are freed whole.

In: request bytes. Out: their place in the arena and the rows a decoder made of them. Never moves
anything, never overwrites a segment with a live row in it.

Both arrays are reserved once and touched only where they are used, lowest segment first. A request
larger than a segment gets a run of neighbours, which lives and dies as one. Who is live is counted by
the kernels in `live`, at the first segment of a run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.spans import SPAN_DTYPE, Bytes, Rows
from collector.assembly.release import AssemblyConfig
from collector.contracts import Signal, WireDecoder

SLACK_BYTES = 16  # the decoder may read (never use) this far behind a request
SPAN_BYTES_MIN = 20  # the shortest message that makes a row: a log record with a trace id and two heads


class Segments:
    """Arena and row pool. Owner: the assembler's thread.

    arena : uint8[arena_bytes + SLACK_BYTES]
    rows : SPAN_DTYPE[rows_max]
    live : int32[segments]      rows in use, by the first segment of a run
    head_of : int32[segments]   first segment of the run a segment belongs to
    """

    def __init__(self, config: AssemblyConfig) -> None:
        self.count = config.segment_count
        self.segment_bytes = config.segment_bytes
        self.segment_rows = config.segment_rows
        self.arena: Bytes = np.empty(self.count * self.segment_bytes + SLACK_BYTES, np.uint8)
        self.rows: Rows = np.empty(self.count * self.segment_rows, SPAN_DTYPE)
        self.live: npt.NDArray[np.int32] = np.zeros(self.count, np.int32)
        self.head_of: npt.NDArray[np.int32] = np.arange(self.count, dtype=np.int32)
        self._rows_used = np.zeros(self.count, np.int64)
        self._opened = np.zeros(self.count, np.int64)  # order in which runs were opened
        self._sequence = 0
        self._head = -1  # the run being filled
        self._length = 0  # its segments
        self._byte = self._byte_end = self._row = self._row_end = 0

    def fits(self, request_bytes: int) -> bool:
        """Whether a request of this size can ever be placed, whatever it decodes to."""
        return self._segments_for(request_bytes, request_bytes // SPAN_BYTES_MIN + 1) <= self.count

    def decode(self, decoder: WireDecoder, signal: Signal, payload: bytes | memoryview) -> tuple[int, int] | None:
        """Copy a request in and decode it.

        Returns
        -------
        tuple[int, int] or None
            First row and number of rows; None when there is no room (nothing was taken).

        Raises
        ------
        BadRequestError
            From the decoder; nothing was taken.
        """
        size = len(payload)
        source = np.frombuffer(payload, np.uint8)
        self._reuse_current()
        rows_wanted = 1
        while True:
            is_full = self._byte_end - self._byte < size or self._row_end - self._row < rows_wanted
            if is_full and not self._open_run(self._segments_for(size, rows_wanted)):
                return None
            self.arena[self._byte : self._byte + size] = source
            made = decoder.decode_into(signal, self.arena, self._byte, size, self.rows[: self._row_end], self._row)
            if made >= 0:
                return self._commit(size, made)
            rows_most = size // SPAN_BYTES_MIN + 1
            if rows_wanted == rows_most:
                raise RuntimeError(
                    f"the decoder found no room in {self._row_end - self._row} rows for a request of {size} bytes; "
                    f"expected at most {rows_most} rows. A message of fewer than {SPAN_BYTES_MIN} bytes makes no row."
                )
            rows_wanted = rows_most

    def used(self) -> int:
        """Segments with a live row, or being filled."""
        return self.count - int(np.count_nonzero(self._free_map()))

    def oldest_first(self) -> list[tuple[int, int]]:
        """(first row, rows used) of every run with a live row, the longest open first."""
        heads = np.flatnonzero((self.live > 0) & (self.head_of == np.arange(self.count)))
        order = heads[np.argsort(self._opened[heads])]
        return [(int(head) * self.segment_rows, int(self._rows_used[head])) for head in order]

    def _segments_for(self, size: int, rows: int) -> int:
        return max(1, -(-size // self.segment_bytes), -(-rows // self.segment_rows))

    def _free_map(self) -> npt.NDArray[np.bool_]:
        free: npt.NDArray[np.bool_] = self.live[self.head_of] == 0
        if self._head >= 0 and self._byte > self._head * self.segment_bytes:
            free[self.head_of == self._head] = False
        return free

    def _reuse_current(self) -> None:
        """Start the current run again when nothing in it is live: light traffic stays in one segment."""
        if self._head >= 0 and self.live[self._head] == 0:
            self._start(self._head, self._length)

    def _start(self, head: int, length: int) -> None:
        self._head, self._length = head, length
        self._byte, self._byte_end = head * self.segment_bytes, (head + length) * self.segment_bytes
        self._row, self._row_end = head * self.segment_rows, (head + length) * self.segment_rows

    def _open_run(self, length: int) -> bool:
        """Make `length` free neighbours the run to fill; the current run stays when there are none."""
        free = self._free_map()
        head = _first_run(free, length)
        if head < 0:
            return False
        # Free segments may still point to the run they were last part of.
        own = np.flatnonzero(free)
        self.head_of[own] = own
        self.head_of[head : head + length] = head
        self._sequence += 1
        self._opened[head] = self._sequence
        self._start(head, length)
        return True

    def _commit(self, size: int, made: int) -> tuple[int, int]:
        first = self._row
        if made > 0:
            self._byte += size
            self._row += made
            self._rows_used[self._head] = self._row - self._head * self.segment_rows
        self._trim()
        return first, made

    def _trim(self) -> None:
        """Give back the segments behind the last one a run needs."""
        if self._length == 1:
            return
        needed = self._segments_for(
            self._byte - self._head * self.segment_bytes, self._row - self._head * self.segment_rows
        )
        tail = np.arange(self._head + needed, self._head + self._length)
        self.head_of[tail] = tail
        self._length = needed
        self._byte_end = (self._head + needed) * self.segment_bytes
        self._row_end = (self._head + needed) * self.segment_rows


def _first_run(free: npt.NDArray[np.bool_], length: int) -> int:
    """First index of `length` True values in a row, -1 when there is none."""
    if length > len(free):
        return -1
    ends = np.concatenate([[0], np.cumsum(free)])
    at = np.flatnonzero(ends[length:] - ends[:-length] == length)
    return int(at[0]) if len(at) else -1
