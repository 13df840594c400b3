"""What new traces are left out, and how long that is remembered.

In: when it begins and when it ends (`collector.stress` says so), and the time. Out: two words of assembly's state, and
the filters that the kernel reads. Off, there is nothing here but a word that says so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from collector.assembly.kernels import layout

# Of one generation: 64 Mbit, so after a million traces that were left out 0.1 % of new ones are taken for one of them.
# 8 MiB each, touched only where bits are set, given back when all is over.
FILTER_WORDS = 1 << 20
_HASHES = 1 << 31


class Shedding:
    """Owner: the assembler's thread.

    Parameters
    ----------
    state : assembly's block of counters, of which two words are ours
    memory_ms : how long a trace is remembered that was left out, once or twice; the age at which an open one leaves
    """

    def __init__(self, state: npt.NDArray[np.int64], memory_ms: int) -> None:
        self._state, self._memory_ms = state, memory_ms
        self._turned_ms = self._ended_ms = 0
        self.filters = _filters(1)

    def begin(self, keep_share: float, now_ms: int) -> None:
        """Leave out from now on what is new, but for a share of it, from 0 to 1."""
        if self._state[layout.SHEDDING] == layout.SHED_NOTHING:
            self.filters = _filters(FILTER_WORDS)
            self._turned_ms = now_ms
        self._state[layout.KEEP_BELOW] = round(keep_share * _HASHES)
        self._state[layout.SHEDDING] = layout.SHED_NEW

    def end(self, now_ms: int) -> None:
        """Take in what is new again, but for what still comes of traces that were left out."""
        if self._state[layout.SHEDDING] == layout.SHED_NEW:
            self._state[layout.SHEDDING] = layout.SHED_KNOWN
            self._ended_ms = now_ms

    def let_age(self, now_ms: int) -> None:
        """Forget, some time after."""
        if self._state[layout.SHEDDING] == layout.SHED_NOTHING:
            return
        if self._state[layout.SHEDDING] == layout.SHED_KNOWN and now_ms - self._ended_ms >= self._memory_ms:
            self._state[layout.SHEDDING] = layout.SHED_NOTHING
            self.filters = _filters(1)
        elif now_ms - self._turned_ms >= self._memory_ms:
            self._turned_ms = now_ms
            self.filters[1] = self.filters[0]
            self.filters[0] = 0


def _filters(words: int) -> npt.NDArray[np.uint64]:
    return np.zeros((2, words), np.uint64)
