"""Which traces leave early when memory is short."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.deadlines import make_due
from collector.assembly.kernels.table import find_hashed, hash_words


@njit(a.INT(a.ROWS, a.TRACES, a.INDEX, a.LISTS, a.SEEDS, a.INT, a.INT), cache=True, nogil=True)
def press(rows, traces, index, lists, seeds, first, count):
    """Make every open trace that has a row in rows[first : first + count] due.

    The owner names the oldest segment: its traces are the oldest, the largest are likely among them,
    and when they leave the segment is free. Picking traces by size alone could free bytes all over
    the arena and not one segment.

    Returns
    -------
    int
        Traces made due.
    """
    pressed = 0
    last_0 = np.uint64(0)
    last_1 = np.uint64(0)
    for r in range(first, first + count):
        word_0 = rows[r]["trace_id_0"]
        word_1 = rows[r]["trace_id_1"]
        if r > first and word_0 == last_0 and word_1 == last_1:
            continue
        last_0 = word_0
        last_1 = word_1
        slot = find_hashed(index, traces, word_0, word_1, hash_words(word_0, word_1, seeds))
        if slot >= 0 and traces[slot]["state"] == a.OPEN and traces[slot]["list"] != a.DUE:
            make_due(traces, lists, slot, a.REASON_MEMORY_PRESSURE)
            pressed += 1
    return pressed
