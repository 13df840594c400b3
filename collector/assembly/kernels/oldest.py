"""How long the oldest open trace has been open."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a


@njit(a.INT(a.TRACES, a.WORDS, a.INT), cache=True, nogil=True)
def oldest_age(traces, state, now):
    """Age in milliseconds of the trace that was opened (or re-opened) first; -1 when none is open.

    Looks at every record that was ever used: some milliseconds for a million.
    """
    oldest = np.int64(-1)
    for slot in range(state[a.UNTOUCHED]):
        if traces[slot]["state"] == a.OPEN or traces[slot]["state"] == a.RELEASED:
            oldest = max(oldest, (now - np.int64(traces[slot]["first_ms"])) & a.MASK_32)
    return oldest
