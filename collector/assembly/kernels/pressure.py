"""Which traces leave early when memory is short."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.deadlines import make_due
from collector.assembly.kernels.table import find_hashed, hash_words


@njit(a.INT(a.ROWS, a.TRACES, a.INDEX, a.LISTS, a.SEEDS, a.PLACES), cache=True, nogil=True)
def press(rows, traces, index, lists, seeds, places):
    """Make every open trace that has a row at one of the places due.

    The owner names the oldest segment: its traces are the oldest, the largest are likely among them,
    and when they leave the segment is free. Picking traces by size alone could free bytes all over
    the arena and not one segment.

    Parameters
    ----------
    places : int64[n, 2]
        First row and number of rows of each request in the segment.

    Returns
    -------
    int
        Traces made due.
    """
    pressed = 0
    slot = np.int64(-1)
    for p in range(places.shape[0]):
        for r in range(places[p, 0], places[p, 0] + places[p, 1]):
            word_0 = rows[r]["trace_id_0"]
            word_1 = rows[r]["trace_id_1"]
            if slot >= 0 and traces[slot]["trace_id_0"] == word_0 and traces[slot]["trace_id_1"] == word_1:
                continue
            slot = np.int64(find_hashed(index, traces, word_0, word_1, hash_words(word_0, word_1, seeds)))
            if slot >= 0 and traces[slot]["state"] == a.OPEN and traces[slot]["list"] != a.DUE:
                make_due(traces, lists, slot, a.REASON_MEMORY_PRESSURE)
                pressed += 1
    return pressed
