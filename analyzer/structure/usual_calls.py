"""Which calls operations usually make, and how often a batch left them out.

In: counts by (operation, callee). Out: lists for the kernels, and `CallCounts` for detection. Keeps nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.analysis import CallCounts
from analyzer.decayed_rows import DecayedRows
from analyzer.kernels import expected_calls
from analyzer.pair_table import Slots

USUAL_SHARE = 0.8  # of executions that make a call, before it is counted how many do not: spans are lost, too


def list_calls(
    store: DecayedRows, share_min: float, count_min: float, surprise_min: float, left_out: float
) -> tuple[Slots, Slots, npt.NDArray[np.float32]]:
    """List by operation the calls made in at least a share of its executions.

    Returns
    -------
    first, pairs, surprise
        As in `kernels.expected_calls.expect`.
    """
    used, table, scales = store.table.used, store.table, np.array(store.scales)
    first, pairs, surprise = np.zeros(used + 1, np.int32), np.zeros(used, np.int32), np.zeros(used, np.float32)
    limits = np.array([count_min, share_min, surprise_min, left_out])
    total = expected_calls.expect(table.keys, *table.arrays, used, store.mass, scales, limits, first, pairs, surprise)
    return first, pairs[:total].copy(), surprise[:total].copy()


def count_calls(store: DecayedRows, pairs: Slots, calls: npt.NDArray[np.int32]) -> CallCounts:
    """Put ids to the usual calls that were asked for.

    Parameters
    ----------
    pairs : int32[c]
        Slots of the usual calls.
    calls : int32[2, c]
        Executions that could have made each, and those that left it out.
    """
    asked = np.flatnonzero(calls[0])
    keys = store.table.keys[pairs[asked]]
    operation, callee = (keys >> np.uint64(32)).astype(np.uint32), (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return CallCounts(operation, callee, calls[0, asked], calls[1, asked])
