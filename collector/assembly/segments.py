"""Where the bytes and rows stand: one arena, cut into segments that are freed whole.

In: request bytes. Out: their place in the arena and the rows a decoder made of them. Never moves
anything, never overwrites a segment with a live row in it.

A request's rows stand right behind its bytes::

    | request | rows of it | request | rows of it | ...      free |

so no share between bytes and rows has to be guessed, and nothing is wasted whatever the spans weigh.
The arena is reserved once and touched only where it is used, lowest segment first. A request larger
than a segment gets a run of neighbours, which lives and dies as one. Who is live is counted by the
kernels in `live`, at the first segment of a run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from analyzer.spans import SPAN_DTYPE, Bytes, Rows
from collector.assembly.release import ROW_BYTES, AssemblyConfig
from collector.contracts import Signal, WireDecoder
from collector.errors import BadRequestError

CACHE_LINE = 64
SLACK_BYTES = 16  # the decoder may read (never use) this far behind a request
# Room is made for the rows of spans this short; when they are shorter still the request is decoded
# again. No message of fewer than 20 bytes makes a row: a trace id and two heads.
SPAN_BYTES_TRIED = (320, 80, 20)


class Segments:
    """The arena. Owner: the assembler's thread.

    arena : uint8[...]          the bytes
    rows : SPAN_DTYPE[...]      the same memory, seen as rows
    live : int32[segments]      rows in use, by the first segment of a run
    head_of : int32[segments]   first segment of the run a segment belongs to
    """

    def __init__(self, config: AssemblyConfig) -> None:
        self.count = config.segment_count
        self.segment_bytes = config.segment_bytes
        self.arena: Bytes = _aligned(self.count * self.segment_bytes + ROW_BYTES)  # the last row is slack
        self.rows: Rows = self.arena.view(SPAN_DTYPE)
        self.live: npt.NDArray[np.int32] = np.zeros(self.count, np.int32)
        self.head_of: npt.NDArray[np.int32] = np.arange(self.count, dtype=np.int32)
        self._places = [array("q") for _ in range(self.count)]  # first row, row count, ... of each run
        self._opened = np.zeros(self.count, np.int64)  # order in which runs were opened
        self._sequence = 0
        self._head = -1  # the run being filled
        self._length = 0  # its segments
        self._at = self._end = 0  # bytes of the arena

    def decode(self, decoder: WireDecoder, signal: Signal, payload: bytes | memoryview) -> tuple[int, int] | None:
        """Copy a request in and decode it.

        Returns
        -------
        tuple[int, int] or None
            First row and number of rows; None when there is no room (nothing was taken).

        Raises
        ------
        BadRequestError
            From the decoder, or the request can never fit; nothing was taken.
        """
        size = len(payload)
        source = np.frombuffer(payload, np.uint8)
        if self._head >= 0 and self.live[self._head] == 0:
            self._start(self._head, self._length)  # light traffic stays in one segment
        for span_bytes in SPAN_BYTES_TRIED:
            # How many rows a request makes is known when it is decoded; the whole arena is the most there is.
            room = min(size + ROW_BYTES * (size // span_bytes + 2), self.count * self.segment_bytes)
            if size + ROW_BYTES > room:
                break
            if self._end - self._at < room and not self._open_run(self._segments_for(room)):
                return None
            self.arena[self._at : self._at + size] = source
            first = -(-(self._at + size) // ROW_BYTES)
            rows = self.rows[: self._end // ROW_BYTES]
            made = decoder.decode_into(signal, self.arena, self._at, size, rows, first)
            if made >= 0:
                self._commit(first, made)
                return first, made
        raise BadRequestError(
            f"request of {size} bytes; expected one that fits, with {ROW_BYTES} bytes for each of its spans, "
            f"into an arena of {self.count * self.segment_bytes} bytes. Raise assembly.arena_bytes.",
            reason="too_large",
        )

    def used(self) -> int:
        """Segments of runs that have a live row."""
        return self.count - int(np.count_nonzero(self._free_map()))

    def oldest_first(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield (first row, row count) of the requests of each run with a live row, the longest open first."""
        heads = np.flatnonzero((self.live > 0) & (self.head_of == np.arange(self.count)))
        for head in heads[np.argsort(self._opened[heads])]:
            yield np.array(self._places[head], np.int64).reshape(-1, 2)

    def _segments_for(self, size: int) -> int:
        return max(1, -(-size // self.segment_bytes))

    def _free_map(self) -> npt.NDArray[np.bool_]:
        free: npt.NDArray[np.bool_] = self.live[self.head_of] == 0
        return free

    def _start(self, head: int, length: int) -> None:
        self._head, self._length = head, length
        self._at, self._end = head * self.segment_bytes, (head + length) * self.segment_bytes
        del self._places[head][:]

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

    def _commit(self, first: int, made: int) -> None:
        if made > 0:
            self._at = (first + made) * ROW_BYTES
            self._places[self._head].extend((first, made))
        if self._length > 1:
            self._trim()

    def _trim(self) -> None:
        """Give back the segments behind the last one a run needs."""
        needed = self._segments_for(self._at - self._head * self.segment_bytes)
        tail = np.arange(self._head + needed, self._head + self._length)
        self.head_of[tail] = tail
        self._length = needed
        self._end = (self._head + needed) * self.segment_bytes


def _aligned(size: int) -> Bytes:
    """Memory that starts on a cache line, so that a row is two lines and not three."""
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size]


def _first_run(free: npt.NDArray[np.bool_], length: int) -> int:
    """First index of `length` True values in a row, -1 when there is none."""
    if length > len(free):
        return -1
    ends = np.concatenate([[0], np.cumsum(free)])
    at = np.flatnonzero(ends[length:] - ends[:-length] == length)
    return int(at[0]) if len(at) else -1
