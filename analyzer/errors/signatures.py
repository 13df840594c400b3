"""How a failing trace looks from its columns alone: enough to count it with others that were explained.

In: a measured batch. Out: for each trace with a failed span a 64-bit key made of its last failed span (operation,
exception type, error type, codes). Equal keys mean alike, not the same: what a key belongs to is learned from explained
traces.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis

_COLUMNS = ("operation", "exception_type", "error_type", "http_status", "rpc_status")
_PRIME = np.uint64(0x100000001B3)
_START = np.uint64(0xCBF29CE484222325)


def signatures(analysis: Analysis) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Make the keys of a batch.

    Returns
    -------
    traces : int64[k]
        Indices of the traces with a failed span, ascending.
    keys : uint64[k]

    Notes
    -----
    Nodes stand in pre-order, so the last failed one of a trace lies deep, where trouble begins more often than at the
    entry; of its kind, not its place, the key is made. FNV-1a over 32-bit columns.
    """
    forest = analysis.forest
    failed = np.flatnonzero(analysis.failed)
    if not len(failed):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    trace_of = np.searchsorted(forest.trace_ptr, failed, side="right") - 1
    last = np.flatnonzero(np.append(trace_of[1:] != trace_of[:-1], True))
    rows = analysis.traces.rows[forest.row[failed[last]]]
    keys = np.full(len(last), _START, np.uint64)
    for column in _COLUMNS:
        keys = (keys ^ rows[column].astype(np.uint64)) * _PRIME  # wraps, as it should
    return trace_of[last].astype(np.int64), keys
